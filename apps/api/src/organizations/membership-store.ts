import type { SQL } from 'drizzle-orm'
import { and, eq, isNull, sql } from 'drizzle-orm'
import type { Membership } from '../auth/authorizer.ts'
import { toPermissions } from '../auth/permission.ts'
import type { Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { organizationRoles, organizationUserRoles } from './organization-role-table.ts'
import { organizations, organizationUsers } from './organization-table.ts'

/** The SQL of memberships. */
export interface MembershipStore {
  /** `undefined` for an organization that does not exist, null for one that the user does not belong to. */
  find(userId: string, organizationId: string): Promise<Membership | null | undefined>
}

export function createMembershipStore(db: Queryable): MembershipStore {
  return {
    async find(userId, organizationId) {
      if (!isUuid(organizationId)) return undefined
      const [found] = await db
        .select({ role: organizationUsers.role, permissions: assignedPermissions() })
        .from(organizations)
        .leftJoin(
          organizationUsers,
          and(eq(organizationUsers.organizationId, organizations.id), eq(organizationUsers.userId, userId)),
        )
        .where(and(eq(organizations.id, organizationId), isNull(organizations.deletedAt)))
      if (found === undefined) return undefined
      return found.role === null ? null : { role: found.role, permissions: toPermissions(found.permissions) }
    },
  }
}

/** A column: the permissions that the roles of the member in `organization_users` give. */
export function assignedPermissions(): SQL<string[]> {
  return sql<string[]>`array(
    select distinct unnest(${organizationRoles.permissions})
    from ${organizationUserRoles}
    join ${organizationRoles} on ${organizationRoles.id} = ${organizationUserRoles.roleId}
    where ${organizationUserRoles.organizationId} = ${organizationUsers.organizationId}
      and ${organizationUserRoles.userId} = ${organizationUsers.userId}
  )`
}
