import { createHash, randomBytes } from 'node:crypto'

const PREFIX = 'dtn_'
const SECRET_BYTES = 32
const FORMAT = /^dtn_[0-9a-f]{64}$/
const SHOWN_CHARS = 3

/** A new key. It is shown once and stored as its hash only. */
export function generateApiKey(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('hex')
}

/** Whether a text can be a key at all. */
export function isApiKey(text: string): boolean {
  return FORMAT.test(text)
}

/**
 * What is stored and looked up: SHA-256 in hexadecimal. A key has 256 random bits, so a slow hash would add
 * nothing; and comparing hashes tells nothing about the key, however long the comparison takes.
 */
export function hashApiKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

/** The characters that a masked key still shows. */
export function shownParts(key: string): { keyPrefix: string; keySuffix: string } {
  return { keyPrefix: key.slice(0, SHOWN_CHARS), keySuffix: key.slice(-SHOWN_CHARS) }
}
