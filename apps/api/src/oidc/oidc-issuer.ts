import { AppError } from '@atoll/protocol'
import { errors, jwtVerify } from 'jose'
import type { TokenIssuer, VerifiedToken } from '../auth/token-verifier.ts'
import { MAX_CLOCK_SKEW_MS } from '../auth/token-verifier.ts'
import type { Discovery } from './oidc-discovery.ts'
import type { OidcProvider } from './oidc-provider.ts'
import type { OidcUsers } from './oidc-users.ts'

/** Only signatures by key pairs are accepted: a public key must never pass for a shared secret. */
const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA']

/** The longest subject that OpenID Connect allows. */
const MAX_SUBJECT_LENGTH = 255

export interface OidcIssuerOptions {
  provider: OidcProvider
  discovery: Discovery
  users: OidcUsers
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Checks the tokens of one OpenID provider and finds their users. */
export function createOidcIssuer({ provider, discovery, users, now }: OidcIssuerOptions): TokenIssuer {
  return {
    issuer: provider.issuer,
    verify: (token) => verifyToken(token, { provider, discovery, now }),
    async findCaller(verified) {
      const user = await users.findOrCreate(provider, verified)
      return user && Object.freeze({ kind: 'accessToken', userId: user.userId, systemRole: user.systemRole })
    },
  }
}

/** Returns undefined for a wrong token. Throws SERVICE_UNAVAILABLE when the provider's keys cannot be fetched. */
export async function verifyToken(
  token: string,
  options: Pick<OidcIssuerOptions, 'provider' | 'discovery' | 'now'>,
): Promise<VerifiedToken | undefined> {
  const { provider, now } = options
  try {
    const { issuer, keys } = await options.discovery()
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience: provider.audience,
      algorithms: ALGORITHMS,
      clockTolerance: MAX_CLOCK_SKEW_MS / 1000,
      currentDate: new Date(now()),
      requiredClaims: ['sub', 'exp'],
    })
    const { sub = '', exp = 0 } = payload
    if (sub === '' || sub.length > MAX_SUBJECT_LENGTH || sub.includes('\0')) return undefined
    return { token, subject: sub, claims: payload, expiresAt: exp * 1000 + MAX_CLOCK_SKEW_MS }
  } catch (error) {
    if (isFaultOfToken(error)) return undefined
    throw new AppError('SERVICE_UNAVAILABLE', `The OpenID provider ${provider.name} cannot be asked for its keys`, {
      cause: error,
    })
  }
}

/** Whether the token caused an error. Other errors of jose come from the key set, which only the provider can correct. */
function isFaultOfToken(error: unknown): boolean {
  return (
    error instanceof errors.JWTClaimValidationFailed ||
    error instanceof errors.JWTExpired ||
    error instanceof errors.JWTInvalid ||
    error instanceof errors.JWSInvalid ||
    error instanceof errors.JWSSignatureVerificationFailed ||
    error instanceof errors.JOSEAlgNotAllowed ||
    error instanceof errors.JOSENotSupported ||
    error instanceof errors.JWKSNoMatchingKey ||
    error instanceof errors.JWKSMultipleMatchingKeys
  )
}
