import { randomBytes } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Sealer } from '../../secrets/sealer.ts'
import { S3Error } from './s3-error.ts'

/** The lifetime of credentials. */
export const SESSION_MS = 60 * 60 * 1000

const ACCESS_KEY_BYTES = 8
const SECRET_BYTES = 30
/** A sealed token takes about 300 characters. */
const MAX_TOKEN_LENGTH = 2_048

const Content = Type.Object({
  organizationId: Type.String(),
  secret: Type.String(),
  /** Milliseconds since the epoch. */
  expiresAt: Type.Integer(),
})

export interface SessionCredentials {
  accessKey: string
  secret: string
  sessionToken: string
}

export interface OpenedSession {
  organizationId: string
  secret: string
}

/** Makes and opens credentials for one organization's objects; none of them is stored. */
export interface SessionCredentialsMint {
  issue(organizationId: string): SessionCredentials
  /** Throws InvalidAccessKeyId, InvalidToken and ExpiredToken. */
  open(accessKey: string, sessionToken: string | undefined): OpenedSession
}

/**
 * Creates the mint. A session token holds the organization, the secret and its expiry, sealed for the access key, so
 * that every replica can open it.
 */
export function createSessionCredentials({
  sealer,
  now,
}: {
  sealer: Sealer
  now: () => number
}): SessionCredentialsMint {
  return {
    issue(organizationId) {
      const accessKey = `ATOLL${randomBytes(ACCESS_KEY_BYTES).toString('hex').toUpperCase()}`
      const secret = randomBytes(SECRET_BYTES).toString('base64')
      const content = JSON.stringify({ organizationId, secret, expiresAt: now() + SESSION_MS })
      return { accessKey, secret, sessionToken: sealer.seal(content, placeOf(accessKey)) }
    },
    open(accessKey, sessionToken) {
      if (sessionToken === undefined) {
        throw new S3Error('InvalidAccessKeyId', 'Only credentials with a session token are known here')
      }
      const { organizationId, secret, expiresAt } = openContent(sealer, accessKey, sessionToken)
      if (expiresAt <= now()) throw new S3Error('ExpiredToken', 'The session token has expired')
      return { organizationId, secret }
    },
  }
}

function openContent(sealer: Sealer, accessKey: string, sessionToken: string) {
  try {
    if (sessionToken.length > MAX_TOKEN_LENGTH) throw new AppError('SECRET_UNREADABLE', 'The token is too long')
    const content: unknown = JSON.parse(sealer.open(sessionToken, placeOf(accessKey)))
    if (Value.Check(Content, content)) return content
  } catch (cause) {
    if (!(cause instanceof AppError) && !(cause instanceof SyntaxError)) throw cause
    throw new S3Error('InvalidToken', 'The session token was not made for this access key by this server', { cause })
  }
  throw new S3Error('InvalidToken', 'The session token is not one of these')
}

function placeOf(accessKey: string) {
  return { table: 'object_storage_session', row: accessKey, column: 'session_token' }
}
