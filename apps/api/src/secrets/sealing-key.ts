import { createHash } from 'node:crypto'

/** The length of an AES-256 key in bytes. */
export const SEALING_KEY_BYTES = 32

/** The length in bytes of the id that tells which key sealed a value. */
export const SEALING_KEY_ID_BYTES = 4

/** One key in hexadecimal, or in base64 of either alphabet. */
const KEY = '(?:[0-9A-Fa-f]{64}|[A-Za-z0-9+/_-]{43}=?)'

/** Comma-separated keys: the first seals, all of them open. */
export const SEALING_KEYS_PATTERN = `^${KEY}(?: *, *${KEY})*$`

/** A secret key, and its public id, which is written beside each sealed value. */
export interface SealingKey {
  readonly id: Buffer
  readonly bytes: Buffer
}

/** Reads text that matches SEALING_KEYS_PATTERN. Throws an error that does not contain the text when it does not match. */
export function parseSealingKeys(text: string): readonly SealingKey[] {
  return text.split(',').map((part) => {
    const key = part.trim()
    const bytes = Buffer.from(key, key.length === 2 * SEALING_KEY_BYTES ? 'hex' : 'base64url')
    if (bytes.length !== SEALING_KEY_BYTES)
      throw new Error('an encryption key must be 32 bytes in base64 or hexadecimal')
    return {
      id: createHash('sha256').update('atoll-key-id').update(bytes).digest().subarray(0, SEALING_KEY_ID_BYTES),
      bytes,
    }
  })
}
