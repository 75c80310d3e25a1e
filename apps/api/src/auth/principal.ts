import type { Permission } from './permission.ts'

/** Who calls, and in which organization; frozen, and shared by every request with the same key. */
export interface Principal {
  readonly kind: 'apiKey'
  readonly apiKeyId: string
  readonly userId: string
  /** The organization of the call. With an API key it is the key's own, whatever a header says. */
  readonly organizationId: string
  /** In that organization. */
  readonly role: 'owner' | 'member'
  /** `admin` passes every permission check. */
  readonly systemRole: 'admin' | 'user'
  /** What the key allows. */
  readonly permissions: ReadonlySet<Permission>
}
