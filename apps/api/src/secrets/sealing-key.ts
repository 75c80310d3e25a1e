import { createHash } from 'node:crypto'

/** Bytes of an AES-256 key. */
export const SEALING_KEY_BYTES = 32

/** Bytes of the id that tells which key a value was sealed with. */
export const SEALING_KEY_ID_BYTES = 4

/** One key in hexadecimal, or in base64 of either alphabet. */
const KEY = '(?:[0-9A-Fa-f]{64}|[A-Za-z0-9+/_-]{43}=?)'

/** Keys between commas: the first seals, all open. */
export const SEALING_KEYS_PATTERN = `^${KEY}(?: *, *${KEY})*$`

/** A secret key, and the public id that is written beside what it seals. */
export interface SealingKey {
  readonly id: Buffer
  readonly bytes: Buffer
}

/** Reads text that matches SEALING_KEYS_PATTERN. Throws a message without the text when it does not. */
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
