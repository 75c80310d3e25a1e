import type { Permission } from './permission.ts'

/** Triggers notify this channel: `key:<hash>` for one key, any other payload for a change that may concern several callers. */
export const PRINCIPAL_CHANNEL = 'principal_changed'

/** Parts of Atoll that call the API with a key of their own. */
export type ServiceName = 'proxy'

/** The holder of a credential; frozen, and shared by every request with the same credential. */
export interface Caller {
  readonly kind: 'apiKey' | 'accessToken' | 'serviceKey'
  /** The id of the API key, when the credential was one. */
  readonly apiKeyId?: string
  /** For a service, which is no user: `service:` and its name. */
  readonly userId: string
  /** Set for a service key. */
  readonly service?: ServiceName
  /** `admin` passes every permission check. */
  readonly systemRole: 'admin' | 'user'
}

/** A caller in an organization, with their permissions there. */
export interface Principal extends Caller {
  /** The organization of the call. With an API key it is the key's own, whatever a header says. */
  readonly organizationId: string
  /** The role in that organization; an administrator counts as an owner everywhere. */
  readonly role: 'owner' | 'member'
  /** The permissions of the key, or of the member's roles; an owner without a key has every permission. */
  readonly permissions: ReadonlySet<Permission>
}

/** Tells whether the caller is bound to an organization: an API key is, an access token is not. */
export function isPrincipal(caller: Caller): caller is Principal {
  return 'organizationId' in caller
}
