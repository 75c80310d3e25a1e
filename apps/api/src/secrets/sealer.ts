import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import type { SealingKey } from './sealing-key.ts'
import { SEALING_KEY_ID_BYTES } from './sealing-key.ts'

const CIPHER = 'aes-256-gcm'
/** First byte of what is sealed this way; another way gets another one. */
const VERSION = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const HEAD_BYTES = 1 + SEALING_KEY_ID_BYTES
const MIN_SEALED_BYTES = HEAD_BYTES + NONCE_BYTES + TAG_BYTES

/** What a sealed value belongs to. It opens only there, so that values cannot change places. */
export interface SealedPlace {
  /** Of the database, or a word for what is stored in none. */
  readonly table: string
  /** The primary key, or what else a value of this kind is bound to. */
  readonly row: string
  readonly column: string
}

/** Encrypts what must be stored or handed out but not be read: AES-256-GCM with a random nonce for each value. */
export interface Sealer {
  /** Answers base64url text, about 44 characters longer than a third more than `text`. */
  seal(text: string, place: SealedPlace): string
  /** Throws SECRET_UNREADABLE for what was sealed for another place, altered, or sealed with an unknown key. */
  open(sealed: string, place: SealedPlace): string
  /** Whether a value was sealed with another key than the first, and should be sealed anew when it is written next. */
  isOutdated(sealed: string): boolean
}

/** The first key seals, all open: to rotate, put a new key first and drop the old one when nothing needs it. */
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

/** JSON, because no text in it can be taken for a boundary. */
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
