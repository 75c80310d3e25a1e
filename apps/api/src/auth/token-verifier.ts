import { createHash } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import type { JWTPayload } from 'jose'
import { decodeJwt } from 'jose'
import { LRUCache } from 'lru-cache'
import type { DatabaseListener } from '../database/listener.ts'
import type { CredentialVerifier } from './authenticator.ts'
import type { FailureGate } from './failure-gate.ts'
import { trimIssuer } from './issuer-name.ts'
import type { Caller } from './principal.ts'
import { PRINCIPAL_CHANNEL } from './principal.ts'

/** The most tokens that are cached because their signature is good, and roughly the bytes of all of them. */
const MAX_TOKENS = 10_000
const MAX_TOKENS_BYTES = 64 * 1024 * 1024
/** How long a change of a user or the end of a sign-in may stay unseen when no notification of it arrives. */
const CALLER_TTL_MS = 30_000
/** How long a token that is wrong, or whose sign-in has ended, is refused without another check. */
const REFUSED_TTL_MS = 5_000
/** No known issuer makes longer tokens. */
const MAX_TOKEN_LENGTH = 16_384

/** A trigger notifies this channel with the id of the sign-in. */
export const SIGN_IN_CHANNEL = 'sign_in_ended'

const JWT = /^[\w-]+\.[\w-]+\.[\w-]*$/

/** The content of a token that is signed, current, and meant for this system. */
export interface VerifiedToken {
  readonly token: string
  readonly subject: string
  readonly claims: JWTPayload
  /** Milliseconds since the epoch. */
  readonly expiresAt: number
  /** The sign-in of the token, when our own sign-in made it. */
  readonly signInId?: string
}

/** An issuer of signed access tokens. */
export interface TokenIssuer {
  /** `iss` of its tokens, without a slash at its end. */
  readonly issuer: string
  /** Returns undefined for a wrong token. Throws SERVICE_UNAVAILABLE when the issuer's keys cannot be fetched. */
  verify(token: string): Promise<VerifiedToken | undefined>
  /** Finds the caller that the token stands for now; undefined when there is none any more. */
  findCaller(verified: VerifiedToken): Promise<Caller | undefined>
}

export interface TokenVerifierOptions {
  issuers: readonly TokenIssuer[]
  gate: FailureGate
  listener: DatabaseListener
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Finds the caller of a JSON Web Token. The signature is checked once; the user is looked up again after changes. */
export function createTokenVerifier(options: TokenVerifierOptions): CredentialVerifier {
  const { gate, now } = options
  const issuers = new Map(options.issuers.map((issuer) => [issuer.issuer, issuer]))
  const tokens = new LRUCache<string, VerifiedToken>({
    max: MAX_TOKENS,
    maxSize: MAX_TOKENS_BYTES,
    // The bytes of the text and of its parsed claims, roughly.
    sizeCalculation: ({ token }) => 3 * token.length,
  })
  const wrong = new LRUCache<string, true>({ max: MAX_TOKENS, ttl: REFUSED_TTL_MS })
  const callers = createCallerCache(options.listener)

  async function verifyOnce(issuer: TokenIssuer, token: string, attempt: { source: string; hash: string }) {
    const known = tokens.get(attempt.hash)
    if (known !== undefined) return known
    if (wrong.has(attempt.hash)) throw invalid()
    const verified = await gate.check(attempt, () => issuer.verify(token))
    if (verified === undefined) {
      wrong.set(attempt.hash, true)
      throw invalid()
    }
    tokens.set(attempt.hash, verified)
    return verified
  }

  return {
    recognizes: (credential) => credential.length <= MAX_TOKEN_LENGTH && JWT.test(credential),
    async verify(token, source) {
      // A token of an unknown issuer, or one that is long expired, is refused at no cost and does not count as a guess.
      const issuer = issuers.get(issuerOf(token, now()))
      if (issuer === undefined) throw invalid()
      const hash = createHash('sha256').update(token).digest('base64url')
      const verified = await verifyOnce(issuer, token, { source, hash })
      if (verified.expiresAt <= now()) throw expired()
      const caller = await callers.get(hash, verified, issuer)
      if (caller === undefined) throw new AppError('UNAUTHORIZED', 'The sign-in of this access token has ended')
      return caller
    },
  }
}

/** Caches the caller of a token until something changes. */
function createCallerCache(listener: DatabaseListener) {
  const known = new LRUCache<string, { caller: Caller; signInId: string | undefined }>({
    max: MAX_TOKENS,
    ttl: CALLER_TTL_MS,
  })
  const ended = new LRUCache<string, true>({ max: MAX_TOKENS, ttl: REFUSED_TTL_MS })
  // A lookup that was under way during a change may return old data: it is not cached.
  let changes = 0

  function forget(isMeant: (signInId: string | undefined) => boolean): void {
    changes += 1
    for (const [hash, { signInId }] of [...known.entries()]) if (isMeant(signInId)) known.delete(hash)
  }

  listener.subscribe(PRINCIPAL_CHANNEL, {
    onNotify: (payload) => {
      if (!payload.startsWith('key:')) forget(() => true)
    },
    onListening: () => forget(() => true),
  })
  listener.subscribe(SIGN_IN_CHANNEL, {
    onNotify: (payload) => forget((signInId) => signInId === payload),
    onListening: () => forget(() => true),
  })

  return {
    async get(hash: string, verified: VerifiedToken, issuer: TokenIssuer): Promise<Caller | undefined> {
      const cached = known.get(hash)
      if (cached !== undefined) return cached.caller
      if (ended.has(hash)) return undefined
      const changesBefore = changes
      const caller = await issuer.findCaller(verified)
      if (caller === undefined) ended.set(hash, true)
      else if (changes === changesBefore) known.set(hash, { caller, signInId: verified.signInId })
      return caller
    },
  }
}

/** Reads `iss` unchecked, to choose the issuer that checks the token. Throws UNAUTHORIZED. */
function issuerOf(token: string, now: number): string {
  let claims: JWTPayload
  try {
    claims = decodeJwt(token)
  } catch {
    // A text that cannot be decoded is no token.
    throw invalid()
  }
  if (typeof claims.exp === 'number' && claims.exp * 1000 < now - MAX_CLOCK_SKEW_MS) throw expired()
  return typeof claims.iss === 'string' ? trimIssuer(claims.iss) : ''
}

/** Clocks of issuers may differ from ours by this much. */
export const MAX_CLOCK_SKEW_MS = 60_000

function invalid(): AppError {
  return new AppError('UNAUTHORIZED', 'Invalid access token')
}

function expired(): AppError {
  return new AppError('UNAUTHORIZED', 'The access token has expired')
}
