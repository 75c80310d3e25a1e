import { hashApiKey } from '../api-keys/api-key.ts'
import type { CredentialVerifier } from './authenticator.ts'
import type { Caller, ServiceName } from './principal.ts'

/** Verifies the keys of Atoll's own services, which the configuration sets. They belong to no user and no organization. */
export function createServiceKeyVerifier(keys: Record<ServiceName, string | undefined>): CredentialVerifier {
  const callers = new Map<string, Caller>()
  if (keys.proxy !== undefined) callers.set(hashApiKey(keys.proxy), serviceCaller('proxy'))
  return {
    // The comparison is of hashes, so its duration reveals nothing about a key.
    recognizes: (credential) => callers.size > 0 && callers.has(hashApiKey(credential)),
    async verify(credential) {
      const caller = callers.get(hashApiKey(credential))
      if (caller === undefined) throw new Error('only what was recognized is verified')
      return caller
    },
  }
}

function serviceCaller(service: ServiceName): Caller {
  return Object.freeze({ kind: 'serviceKey', service, userId: `service:${service}`, systemRole: 'user' })
}
