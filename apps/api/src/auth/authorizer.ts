import { AppError } from '@atoll/protocol'
import type { Permission } from './permission.ts'
import { permissions } from './permission.ts'
import type { Caller, Principal } from './principal.ts'
import { isPrincipal } from './principal.ts'

/**
 * Who may call a route. `caller`: anybody with a valid credential; no organization is chosen. `membership`: whoever
 * belongs to the organization of the call. `owner`: its owners, by token or with a key that may do everything.
 * `administrator`: system administrators.
 * `administratorOrProxy`: these and the preview proxy's key, which may call nothing else. `administratorInOrganization`: system
 * administrators, in the organization of the call. A permission: those who have it there.
 */
export type Access = AccessWithoutOrganization | AccessWithinOrganization

type AccessWithoutOrganization = 'caller' | 'administrator' | 'administratorOrProxy'
type AccessWithinOrganization = 'membership' | 'owner' | 'administratorInOrganization' | Permission

/** How a request names an organization. */
export interface NamedOrganization {
  /** The `organizationId` of its path: a resource like any other, unknown (404) to whoever has nothing to do with it. */
  inPath?: string | undefined
  /** `X-Daytona-Organization-ID`. */
  inHeader?: string | undefined
}

/** What a user is in an organization. */
export interface Membership {
  role: 'owner' | 'member'
  /** By the roles assigned; an owner may do everything whatever stands here. */
  permissions: ReadonlySet<Permission>
}

export interface AuthorizerOptions {
  /** `undefined` for an organization that does not exist, null for one that the user does not belong to. */
  findMembership: (userId: string, organizationId: string) => Promise<Membership | null | undefined>
}

/** The one place that decides who may call what. */
export interface Authorizer {
  /**
   * Answers what the caller is in the organization of the call; undefined where the route needs none and the
   * credential brings none. Throws FORBIDDEN, and ORGANIZATION_NOT_FOUND for a path that names a foreign one.
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

/** What a key must be given to act as its holder in everything: what keys of every generation of clients can have. */
const everything = permissions.slice(0, permissions.indexOf('delete:volumes') + 1)

/**
 * Whether the principal acts as an owner: with an access token, or a key that may do everything. A key that was given
 * less must not delete the organization or make its members owners.
 */
export function actsAsOwner({ kind, role, systemRole, permissions: allowed }: Principal): boolean {
  if (systemRole === 'admin') return true
  return role === 'owner' && (kind !== 'apiKey' || everything.every((permission) => allowed.has(permission)))
}

function isWithoutOrganization(access: Access): access is AccessWithoutOrganization {
  return access === 'caller' || access === 'administrator' || access === 'administratorOrProxy'
}

/** Throws FORBIDDEN unless who calls is what the route asks for. */
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
 * Throws FORBIDDEN unless the principal may. A key needs the permission in its own list even when its holder owns
 * the organization; a system administrator passes always.
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

/** The same for an organization that does not exist and for one that is none of the caller's business. */
export function organizationNotFound(organizationId: string): AppError {
  return new AppError('ORGANIZATION_NOT_FOUND', `Organization with ID ${organizationId} not found`)
}
