import { hashApiKey } from '../api-keys/api-key.ts'
import type { CredentialVerifier } from './authenticator.ts'
import type { Caller, ServiceName } from './principal.ts'

/** Knows the keys of Atoll's own services, which configuration sets. They belong to no user and no organization. */
export function createServiceKeyVerifier(keys: Record<ServiceName, string | undefined>): CredentialVerifier {
  const callers = new Map<string, Caller>()
  if (keys.proxy !== undefined) callers.set(hashApiKey(keys.proxy), serviceCaller('proxy'))
  return {
    // Hashes are compared, and tell nothing about a key however long that takes.
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
