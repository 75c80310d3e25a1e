import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import type { SealingKey } from './sealing-key.ts'
import { SEALING_KEY_ID_BYTES } from './sealing-key.ts'

const CIPHER = 'aes-256-gcm'
/** The first byte of a value sealed in this format; another format gets another byte. */
const VERSION = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + SEALING_KEY_ID_BYTES
const MIN_SEALED_BYTES = HEAD_BYTES + NONCE_BYTES + TAG_BYTES

/** The place a sealed value belongs to. The value opens only there, so that values cannot be swapped. */
export interface SealedPlace {
  /** The table of the database, or a word for a value that is not stored. */
  readonly table: string
  /** The primary key, or another id that a value of this kind is bound to. */
  readonly row: string
  readonly column: string
}

/** Encrypts values that must be stored or handed out but not read: AES-256-GCM with a random nonce for each value. */
export interface Sealer {
  /** Returns base64url text of about 4/3 the length of `text` and 44 characters more. */
  seal(text: string, place: SealedPlace): string
  /** Throws SECRET_UNREADABLE for a value sealed for another place, altered, or sealed with an unknown key. */
  open(sealed: string, place: SealedPlace): string
  /** Whether another key than the first sealed a value, so that it should be resealed at the next write. */
  isOutdated(sealed: string): boolean
}

/**
 * Creates a sealer. The first key seals, all keys open: to rotate, put a new key first and drop the old one when no
 * value needs it.
 */
export function createSealer(keys: readonly SealingKey[]): Sealer {
  const [first] = keys
  if (first === undefined) throw new Error('there is no key to seal with')
  return {
    seal(text, place) {
      const head = Buffer.concat([Buffer.of(VERSION), first.id])
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(CIPHER, first.bytes, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(boundTo(head, place))
      const encrypted = [cipher.update(text, 'utf8'), cipher.final()]
      return Buffer.concat([head, nonce, ...encrypted, cipher.getAuthTag()]).toString('base64url')
    },
    open(sealed, place) {
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length < MIN_SEALED_BYTES || bytes[0] !== VERSION) throw damaged()
      const head = bytes.subarray(0, HEAD_BYTES)
      const key = keys.find(({ id }) => id.equals(head.subarray(1)))
      if (key === undefined) throw unknownKey()
      const nonce = bytes.subarray(HEAD_BYTES, HEAD_BYTES + NONCE_BYTES)
      const decipher = createDecipheriv(CIPHER, key.bytes, nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(boundTo(head, place))
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      try {
        const text = decipher.update(bytes.subarray(HEAD_BYTES + NONCE_BYTES, -TAG_BYTES))
        return Buffer.concat([text, decipher.final()]).toString('utf8')
      } catch (cause) {
        throw damaged(cause)
      }
    },
    isOutdated: (sealed) => !Buffer.from(sealed, 'base64url').subarray(1, HEAD_BYTES).equals(first.id),
  }
}

/** JSON, because none of its texts can be taken for a boundary. */
function boundTo(head: Buffer, { table, row, column }: SealedPlace): Buffer {
  return Buffer.concat([head, Buffer.from(JSON.stringify([table, row, column]))])
}

function unknownKey(): AppError {
  return new AppError(
    'SECRET_UNREADABLE',
    'A stored secret was sealed with a key that this server does not have. All API processes on one database need the same ATOLL_ENCRYPTION_KEY, or the encryption-key file of the one that stored it',
  )
}

function damaged(cause?: unknown): AppError {
  return new AppError(
    'SECRET_UNREADABLE',
    'A stored secret cannot be opened: it was altered, or is not where it was stored',
    {
      cause,
    },
  )
}
