import type { OrganizationUser } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { actsAsOwner } from '../auth/authorizer.ts'
import { toPermissions } from '../auth/permission.ts'
import type { Principal } from '../auth/principal.ts'
import type { Database, Queryable } from '../database/database.ts'
import type { MemberRow } from './member-store.ts'
import { createMemberStore } from './member-store.ts'
import { toMember } from './organization-dto.ts'
import { lockOrganization, requireRoles } from './organization-guards.ts'
import type { OrganizationRow } from './organization-table.ts'

type UserRole = 'owner' | 'member'

/** Throws when the member must not leave the organization. */
type LeaveCheck = (organization: OrganizationRow, member: MemberRow) => void

/** The new role or roles of a member; an absent field keeps the old value. */
interface NewAccess {
  role?: UserRole
  /** `field` is the caller's name for the roles, for messages. */
  roles?: { field: string; ids: readonly string[] }
}

/**
 * Handles the members of the principal's organization. At least one owner always remains, also under simultaneous
 * calls. Calls that take a user throw MEMBER_NOT_FOUND for a user who is not a member.
 */
export interface MemberService {
  list(principal: Principal): Promise<OrganizationUser[]>
  /** Throws FORBIDDEN for one's own role, LAST_OWNER, VALIDATION_FAILED for an unknown role. */
  setAccess(principal: Principal, userId: string, access: NewAccess): Promise<OrganizationUser>
  /** Throws LAST_OWNER. */
  remove(principal: Principal, userId: string): Promise<void>
  /**
   * Throws LAST_OWNER, ORGANIZATION_IS_PERSONAL for a personal organization, and FORBIDDEN to an API key with fewer
   * permissions there than its user.
   */
  leave(principal: Principal): Promise<void>
}

export function createMemberService({ db, transaction }: Pick<Database, 'db' | 'transaction'>): MemberService {
  async function remove({ organizationId }: Principal, userId: string, check: LeaveCheck): Promise<void> {
    await transaction(async (tx) => {
      const organization = await lockOrganization(tx, organizationId)
      const member = await findMember(tx, organizationId, userId)
      check(organization, member)
      if (member.role === 'owner') await requireAnotherOwner(tx, organizationId)
      await createMemberStore(tx).remove(organizationId, userId)
    })
  }

  return {
    list: async ({ organizationId }) => (await createMemberStore(db).list(organizationId)).map(toMember),
    async setAccess({ organizationId, userId: ownId }, userId, { role, roles }) {
      return await transaction(async (tx) => {
        await lockOrganization(tx, organizationId)
        const members = createMemberStore(tx)
        const member = await findMember(tx, organizationId, userId)
        if (role !== undefined && role !== member.role) {
          if (userId === ownId) throw new AppError('FORBIDDEN', 'You cannot change your own role')
          if (member.role === 'owner') await requireAnotherOwner(tx, organizationId)
          await members.setRole(organizationId, userId, role)
        }
        if (roles !== undefined) {
          await members.setAssignedRoles(organizationId, userId, await requireRoles(tx, organizationId, roles))
        }
        return toMember(await findMember(tx, organizationId, userId))
      })
    },
    remove: (principal, userId) => remove(principal, userId, () => undefined),
    leave: (principal) =>
      remove(principal, principal.userId, ({ personal }, member) => {
        requireAllOf(principal, member)
        if (personal) throw new AppError('ORGANIZATION_IS_PERSONAL', 'A personal organization cannot be left')
      }),
  }
}

/** Leaving ends the membership and all its keys, so a key with fewer permissions must not do it. */
function requireAllOf(principal: Principal, { role, roles }: MemberRow): void {
  if (principal.kind !== 'apiKey' || actsAsOwner(principal)) return
  const allowed = toPermissions(roles.flatMap(({ permissions }) => permissions))
  if (role === 'member' && [...allowed].every((permission) => principal.permissions.has(permission))) return
  throw new AppError('FORBIDDEN', 'This API key may do less than its user, so it cannot leave for them')
}

async function findMember(tx: Queryable, organizationId: string, userId: string): Promise<MemberRow> {
  const member = await createMemberStore(tx).find(organizationId, userId)
  if (member === undefined) throw new AppError('MEMBER_NOT_FOUND', `User with ID ${userId} is not a member`)
  return member
}

async function requireAnotherOwner(tx: Queryable, organizationId: string): Promise<void> {
  if ((await createMemberStore(tx).countOwners(organizationId)) > 1) return
  throw new AppError('LAST_OWNER', 'The organization must keep at least one owner')
}
