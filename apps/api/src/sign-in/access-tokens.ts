import { randomUUID } from 'node:crypto'
import { errors, jwtVerify, SignJWT } from 'jose'
import type { TokenIssuer } from '../auth/token-verifier.ts'
import type { SignInStore } from './sign-in-store.ts'
import type { SigningKeys } from './signing-keys.ts'
import { SIGNING_ALGORITHM } from './signing-keys.ts'

/** The lifetime of an access token, in seconds. */
export const ACCESS_TOKEN_S = 15 * 60

const AUDIENCE = 'atoll'

/** `iss` of this system's tokens where no public URL is configured. */
const LOCAL_ISSUER = 'urn:atoll:sign-in'

/** Signs and verifies the access tokens of Atoll's own sign-in. */
export interface AccessTokens extends TokenIssuer {
  sign(subject: { userId: string; signInId: string }): Promise<string>
}

export interface AccessTokensOptions {
  keys: SigningKeys
  store: Pick<SignInStore, 'findLive'>
  publicUrl: string | undefined
  /** Milliseconds since the epoch. */
  now: () => number
}

/** `iss` and `aud` of this system's tokens. */
export function accessTokenIssuer({ publicUrl }: { publicUrl: string | undefined }) {
  return { issuer: publicUrl === undefined ? LOCAL_ISSUER : `${publicUrl}/api/auth`, audience: AUDIENCE }
}

export function createAccessTokens({ keys, store, publicUrl, now }: AccessTokensOptions): AccessTokens {
  const { issuer } = accessTokenIssuer({ publicUrl })
  return {
    issuer,
    async sign({ userId, signInId }) {
      const key = await keys.current()
      const issuedAt = Math.floor(now() / 1000)
      return await new SignJWT({ sid: signInId })
        .setProtectedHeader({ alg: SIGNING_ALGORITHM, kid: key.id, typ: 'JWT' })
        .setIssuer(issuer)
        .setAudience(AUDIENCE)
        .setSubject(userId)
        .setJti(randomUUID())
        .setIssuedAt(issuedAt)
        .setExpirationTime(issuedAt + ACCESS_TOKEN_S)
        .sign(key.privateKey)
    },
    async verify(token) {
      try {
        const { payload } = await jwtVerify(
          token,
          async ({ kid }) => {
            const key = kid === undefined ? undefined : await keys.publicKey(kid)
            if (key === undefined) throw new errors.JWKSNoMatchingKey()
            return key
          },
          { issuer, audience: AUDIENCE, algorithms: [SIGNING_ALGORITHM], currentDate: new Date(now()) },
        )
        const { sub, sid, exp } = payload
        if (sub === undefined || typeof sid !== 'string' || exp === undefined) return undefined
        return { token, subject: sub, claims: payload, expiresAt: exp * 1000, signInId: sid }
      } catch (error) {
        if (error instanceof errors.JOSEError) return undefined
        throw error
      }
    },
    async findCaller({ subject, signInId = '' }) {
      const systemRole = await store.findLive({ signInId, userId: subject, now: new Date(now()) })
      return systemRole && Object.freeze({ kind: 'accessToken', userId: subject, systemRole })
    },
  }
}
