import { AppError } from '@atoll/protocol'
import type { Permission } from './permission.ts'
import { permissions } from './permission.ts'
import type { Caller, Principal } from './principal.ts'
import { isPrincipal } from './principal.ts'

/**
 * The access that a route requires.
 * `caller`: any valid credential; no organization is chosen.
 * `membership`: a member of the organization of the call.
 * `owner`: an owner of it, by token or with a key that has every permission.
 * `administrator`: a system administrator.
 * `administratorOrProxy`: that, or the key of the preview proxy, which may call nothing else.
 * `administratorInOrganization`: a system administrator, in the organization of the call.
 * A permission: a principal that has it there.
 */
export type Access = AccessWithoutOrganization | AccessWithinOrganization

type AccessWithoutOrganization = 'caller' | 'administrator' | 'administratorOrProxy'
type AccessWithinOrganization = 'membership' | 'owner' | 'administratorInOrganization' | Permission

/** The organization that a request names. */
export interface NamedOrganization {
  /** The `organizationId` of the path. Like any other resource it is unknown (404) to a caller who has no access to it. */
  inPath?: string | undefined
  /** The header `X-Daytona-Organization-ID`. */
  inHeader?: string | undefined
}

/** A user's role and permissions in an organization. */
export interface Membership {
  role: 'owner' | 'member'
  /** The permissions of the roles assigned; an owner may do everything, whatever this set holds. */
  permissions: ReadonlySet<Permission>
}

export interface AuthorizerOptions {
  /** Returns `undefined` for an organization that does not exist, null for one that the user does not belong to. */
  findMembership: (userId: string, organizationId: string) => Promise<Membership | null | undefined>
}

/** The only place that decides on the access of a caller. */
export interface Authorizer {
  /**
   * Returns the caller as a principal of the organization of the call; undefined where the route needs no organization
   * and the credential names none. Throws FORBIDDEN, and ORGANIZATION_NOT_FOUND for a foreign one in the path.
   */
  authorize(caller: Caller, access: Access, named: NamedOrganization): Promise<Principal | undefined>
}

export function createAuthorizer({ findMembership }: AuthorizerOptions): Authorizer {
  async function memberOf(caller: Caller, organizationId: string): Promise<Principal | undefined> {
    const membership = await findMembership(caller.userId, organizationId)
    if (membership === undefined) return undefined
    if (caller.systemRole === 'admin') return asOwner(caller, organizationId)
    if (membership === null) return undefined
    if (membership.role === 'owner') return asOwner(caller, organizationId)
    return Object.freeze({ ...caller, organizationId, ...membership })
  }

  async function inPath(caller: Caller, organizationId: string): Promise<Principal> {
    if (isPrincipal(caller) && caller.organizationId === organizationId) return caller
    const isForeignKey = caller.kind === 'apiKey' && caller.systemRole !== 'admin'
    const principal = isForeignKey ? undefined : await memberOf(caller, organizationId)
    if (principal === undefined) throw organizationNotFound(organizationId)
    return principal
  }

  async function inHeader(caller: Caller, organizationId: string | undefined): Promise<Principal> {
    if (isPrincipal(caller)) return caller
    if (organizationId === undefined) {
      throw new AppError('FORBIDDEN', 'The header X-Daytona-Organization-ID must name the organization of the call')
    }
    const principal = await memberOf(caller, organizationId)
    if (principal !== undefined) return principal
    throw new AppError('FORBIDDEN', 'You do not belong to the organization that X-Daytona-Organization-ID names')
  }

  return {
    async authorize(caller, access, named) {
      if (isWithoutOrganization(access)) {
        requireKind(caller, access)
        return isPrincipal(caller) ? caller : undefined
      }
      if (caller.kind === 'serviceKey') throw serviceKeyRefused()
      const principal =
        named.inPath === undefined ? await inHeader(caller, named.inHeader) : await inPath(caller, named.inPath)
      requireAccess(principal, access)
      return principal
    },
  }
}

function asOwner(caller: Caller, organizationId: string): Principal {
  return Object.freeze({ ...caller, organizationId, role: 'owner', permissions: new Set(permissions) })
}

/** The permissions a key needs to act as its holder in everything: those that keys of every generation of clients can have. */
const everything = permissions.slice(0, permissions.indexOf('delete:volumes') + 1)

/**
 * Whether the principal acts as an owner: with an access token, or with a key that has every permission. A key with
 * fewer permissions must not delete the organization or make its members owners.
 */
export function actsAsOwner({ kind, role, systemRole, permissions: allowed }: Principal): boolean {
  if (systemRole === 'admin') return true
  return role === 'owner' && (kind !== 'apiKey' || everything.every((permission) => allowed.has(permission)))
}

function isWithoutOrganization(access: Access): access is AccessWithoutOrganization {
  return access === 'caller' || access === 'administrator' || access === 'administratorOrProxy'
}

/** Throws FORBIDDEN unless the caller is of the kind that the route requires. */
function requireKind(caller: Caller, access: AccessWithoutOrganization): void {
  if (caller.kind === 'serviceKey') {
    if (access === 'administratorOrProxy' && caller.service === 'proxy') return
    throw serviceKeyRefused()
  }
  if (access === 'caller' || caller.systemRole === 'admin') return
  throw administratorsOnly()
}

function administratorsOnly(): AppError {
  return new AppError('FORBIDDEN', 'Only an administrator may do this')
}

function serviceKeyRefused(): AppError {
  return new AppError('FORBIDDEN', 'A service key may not do this')
}

/**
 * Throws FORBIDDEN unless the principal has this access. A key needs the permission in its own list even when its
 * holder owns the organization; a system administrator always passes.
 */
export function requireAccess(principal: Principal, access: AccessWithinOrganization): void {
  if (access === 'membership' || principal.systemRole === 'admin') return
  if (access === 'administratorInOrganization') throw administratorsOnly()
  if (access === 'owner') {
    if (actsAsOwner(principal)) return
    const owner =
      principal.role === 'owner' ? 'an API key of an owner with every permission' : 'an owner of the organization'
    throw new AppError('FORBIDDEN', `Only ${owner} may do this`)
  }
  if (principal.permissions.has(access)) return
  const who = principal.kind === 'apiKey' ? 'The API key lacks' : 'You lack'
  throw new AppError('FORBIDDEN', `${who} the permission ${access}`)
}

/** The error is the same for an organization that does not exist and for one that the caller may not see. */
export function organizationNotFound(organizationId: string): AppError {
  return new AppError('ORGANIZATION_NOT_FOUND', `Organization with ID ${organizationId} not found`)
}
