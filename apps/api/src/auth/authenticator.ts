import { AppError } from '@atoll/protocol'
import { requestSource } from '../http/request-source.ts'
import type { Caller } from './principal.ts'

const BEARER = /^bearer +(\S+) *$/i

/** Checks credentials of one form. */
export interface CredentialVerifier {
  /** Whether a credential has this form; a cheap check. */
  recognizes(credential: string): boolean
  /** Throws UNAUTHORIZED, or RATE_LIMITED to a source that has shown too many wrong credentials. */
  verify(credential: string, source: string): Promise<Caller>
}

/** Finds the caller by the `Authorization` header. */
export interface Authenticator {
  /**
   * Returns the caller, without the database when the credential was seen lately. `address` is the caller's. Throws
   * UNAUTHORIZED, RATE_LIMITED, and SERVICE_UNAVAILABLE when the issuer of a token cannot be asked.
   */
  authenticate(authorization: string | undefined, address?: string): Promise<Caller>
}

/** Creates an authenticator in which the first verifier that recognizes a credential decides. */
export function createAuthenticator({ verifiers }: { verifiers: readonly CredentialVerifier[] }): Authenticator {
  return {
    async authenticate(authorization, address) {
      if (authorization === undefined) throw new AppError('UNAUTHORIZED', 'Unauthorized')
      const credential = BEARER.exec(authorization)?.[1]
      const verifier =
        credential === undefined ? undefined : verifiers.find((candidate) => candidate.recognizes(credential))
      if (credential === undefined || verifier === undefined) throw new AppError('UNAUTHORIZED', 'Invalid API key')
      return await verifier.verify(credential, requestSource(address))
    },
  }
}
