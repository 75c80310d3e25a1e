import { isApiKey } from '../api-keys/api-key.ts'
import { trimIssuer } from '../auth/issuer-name.ts'

/** An issuer of access tokens for this Atoll. */
export interface OwnIssuer {
  /** `iss` of its tokens, with or without a slash at its end. */
  readonly issuer: string
  /** `aud` of tokens for Atoll. Another program may accept other tokens of the same issuer. */
  readonly audience: string
}

/** Whether an `Authorization` header holds a credential for Atoll's API. */
export type IsOwnCredential = (authorization: string) => boolean

const BEARER = /^bearer +(\S+) *$/i
const JWT = /^[\w-]+\.([\w-]+)\.[\w-]*$/

/** Decides by the form and claims of a credential, not by its validity: an expired key must not reach a sandbox either. */
export function createIsOwnCredential(issuers: readonly OwnIssuer[]): IsOwnCredential {
  return (authorization) => {
    const bearer = BEARER.exec(authorization)?.[1]
    if (bearer === undefined) return false
    if (isApiKey(bearer)) return true
    const { iss, aud } = claimsOf(bearer)
    return issuers.some(({ issuer, audience }) => trim(issuer) === trim(iss) && [aud].flat().includes(audience))
  }
}

/** Returns the unchecked claims; empty for a text that is no JSON Web Token. */
function claimsOf(token: string): { iss?: unknown; aud?: unknown } {
  try {
    const claims: unknown = JSON.parse(Buffer.from(JWT.exec(token)?.[1] ?? '', 'base64url').toString('utf8'))
    return typeof claims === 'object' && claims !== null ? claims : {}
  } catch {
    // A text that is no JSON has no claims.
    return {}
  }
}

function trim(issuer: unknown): string {
  return typeof issuer === 'string' ? trimIssuer(issuer) : ''
}
