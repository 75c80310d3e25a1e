import type { Permission } from './permission.ts'

/** Sent by triggers: `key:<hash>` for one key, anything else for a change that may concern several callers. */
export const PRINCIPAL_CHANNEL = 'principal_changed'

/** Parts of Atoll that call the API with a key of their own. */
export type ServiceName = 'proxy'

/** Who calls; frozen, and shared by every request with the same credential. */
export interface Caller {
  readonly kind: 'apiKey' | 'accessToken' | 'serviceKey'
  /** The key that was shown, when it was one. */
  readonly apiKeyId?: string
  /** Of a service, which is no user: `service:` and its name. */
  readonly userId: string
  /** Set for a service key. */
  readonly service?: ServiceName
  /** `admin` passes every permission check. */
  readonly systemRole: 'admin' | 'user'
}

/** Who calls, in which organization, and what they may do there. */
export interface Principal extends Caller {
  /** The organization of the call. With an API key it is the key's own, whatever a header says. */
  readonly organizationId: string
  /** In that organization; an administrator counts as an owner everywhere. */
  readonly role: 'owner' | 'member'
  /** What the key, or the member's roles, allow; an owner without a key may do everything. */
  readonly permissions: ReadonlySet<Permission>
}

/** An API key is bound to its organization; an access token is not. */
export function isPrincipal(caller: Caller): caller is Principal {
  return 'organizationId' in caller
}
