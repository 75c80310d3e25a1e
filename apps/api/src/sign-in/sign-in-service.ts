import { createHash, randomBytes } from 'node:crypto'
import type { SignedIn, SignIn } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { FailureGate } from '../auth/failure-gate.ts'
import type { Database } from '../database/database.ts'
import type { AccessTokens } from './access-tokens.ts'
import { ACCESS_TOKEN_S } from './access-tokens.ts'
import { toLogin } from './login-name.ts'
import type { PasswordHasher } from './password-hasher.ts'
import type { SignInLimits } from './sign-in-limits.ts'
import type { PasswordRow } from './sign-in-store.ts'
import { createSignInStore } from './sign-in-store.ts'

/** A sign-in ends after this long, even if it was refreshed. */
const SIGN_IN_MS = 30 * 24 * 60 * 60 * 1000
/** The most sign-ins of one user; the oldest ends when another begins. */
const MAX_SIGN_INS = 100

const REFRESH_TOKEN_PREFIX = 'atr_'
const REFRESH_TOKEN_BYTES = 32

export interface SignInServiceOptions {
  database: Database
  hasher: PasswordHasher
  limits: SignInLimits
  tokens: Pick<AccessTokens, 'sign'>
  gate: FailureGate
  /** Milliseconds since the epoch. */
  now: () => number
}

/** A call by a client that is not signed in. */
export interface SignInCall {
  /** The address of the client. */
  source: string
  /** Called with the user of the account before the credential is checked; for the audit log. */
  onAccount: (userId: string) => void
}

/** Atoll's own sign-in, for users without an OpenID provider. */
export interface SignInService {
  /** Takes the same time for an unknown login. Throws UNAUTHORIZED, RATE_LIMITED, and SERVICE_UNAVAILABLE under a flood. */
  signIn(given: SignIn, call: SignInCall): Promise<SignedIn>
  /**
   * Gives new tokens. A token that was used before ends its sign-in, since two clients have it; only then is
   * `onAccount` called. Throws UNAUTHORIZED and RATE_LIMITED.
   */
  refresh(refreshToken: string, call: SignInCall): Promise<SignedIn>
  /** Ends the sign-in of a refresh token, with all its access tokens, on every replica; does nothing when it has ended. */
  signOut(refreshToken: string, call: Pick<SignInCall, 'onAccount'>): Promise<void>
}

export function createSignInService(options: SignInServiceOptions): SignInService {
  const { database, hasher, limits, tokens, gate, now } = options
  const store = createSignInStore(database.db)

  async function giveTokens({ signInId, userId, expiresAt }: LiveSignIn, refreshToken: string): Promise<SignedIn> {
    return {
      userId,
      accessToken: await tokens.sign({ userId, signInId }),
      tokenType: 'Bearer',
      expiresIn: ACCESS_TOKEN_S,
      refreshToken,
      refreshTokenExpiresAt: expiresAt.toISOString(),
    }
  }

  async function begin({ userId, passwordHash }: PasswordRow): Promise<SignedIn> {
    const expiresAt = new Date(now() + SIGN_IN_MS)
    const refreshToken = generateRefreshToken()
    const signInId = await database.transaction(async (tx) => {
      const signIns = createSignInStore(tx)
      // A change of the password ends only the sign-ins that its transaction sees, so the password is checked again
      // under a lock.
      if ((await signIns.lockPassword(userId)) !== passwordHash) throw wrongPassword()
      const id = await signIns.insert({ userId, expiresAt })
      await signIns.insertRefreshToken({ tokenHash: hashToken(refreshToken), signInId: id })
      await signIns.keepNewest(userId, MAX_SIGN_INS)
      return id
    })
    return await giveTokens({ signInId, userId, expiresAt }, refreshToken)
  }

  return {
    async signIn(given, { source, onAccount }) {
      const login = toLogin(given.login)
      await limits.attempt(login, source)
      const row = await store.findPassword({ login })
      if (row !== undefined) onAccount(row.userId)
      const isRight = await hasher.verify(row?.passwordHash, given.password)
      if (row === undefined || !isRight) throw wrongPassword()
      await limits.succeeded(login, source)
      return await begin(row)
    },
    async refresh(refreshToken, { source, onAccount }) {
      const tokenHash = hashToken(refreshToken)
      const next = generateRefreshToken()
      const live = await gate.check({ source, hash: tokenHash }, async () => {
        const { used, ended } = await database.transaction(async (tx) => {
          const signIns = createSignInStore(tx)
          const used = await signIns.useRefreshToken(tokenHash, new Date(now()))
          if (used === undefined) return { used, ended: await signIns.endByRefreshToken(tokenHash) }
          await signIns.insertRefreshToken({ tokenHash: hashToken(next), signInId: used.signInId })
          return { used, ended: undefined }
        })
        // A token that was never used, of a sign-in that has ended, is no sign of theft.
        if (ended?.wasUsed === true) onAccount(ended.userId)
        return used
      })
      if (live === undefined) throw new AppError('UNAUTHORIZED', 'The sign-in has ended')
      return await giveTokens(live, next)
    },
    async signOut(refreshToken, { onAccount }) {
      const ended = await store.endByRefreshToken(hashToken(refreshToken))
      if (ended !== undefined) onAccount(ended.userId)
    },
  }
}

interface LiveSignIn {
  signInId: string
  userId: string
  expiresAt: Date
}

function wrongPassword(): AppError {
  return new AppError('UNAUTHORIZED', 'Wrong login or password')
}

function generateRefreshToken(): string {
  return REFRESH_TOKEN_PREFIX + randomBytes(REFRESH_TOKEN_BYTES).toString('base64url')
}

/** A token has 256 random bits, so that a slow hash would add nothing. */
function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex')
}
