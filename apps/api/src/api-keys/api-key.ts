import { createHash, randomBytes } from 'node:crypto'

const PREFIX = 'dtn_'
const SECRET_BYTES = 32
const FORMAT = /^dtn_[0-9a-f]{64}$/
const SHOWN_CHARS = 3

/** Makes a key. It is shown once; only its hash is stored. */
export function generateApiKey(): string {
  return PREFIX + randomBytes(SECRET_BYTES).toString('hex')
}

/** Whether a text has the form of a key. */
export function isApiKey(text: string): boolean {
  return FORMAT.test(text)
}

/**
 * Returns the hash that is stored and looked up: SHA-256 in hexadecimal. A key has 256 random bits, so a slow hash
 * would add nothing. The time to compare hashes reveals nothing about the key.
 */
export function hashApiKey(key: string): string {
  return createHash('sha256').update(key).digest('hex')
}

/** Returns the characters that a masked key still shows. */
export function shownParts(key: string): { keyPrefix: string; keySuffix: string } {
  return { keyPrefix: key.slice(0, SHOWN_CHARS), keySuffix: key.slice(-SHOWN_CHARS) }
}
