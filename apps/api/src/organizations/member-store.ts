import { and, eq, inArray, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { users } from '../users/user-table.ts'
import { organizationRoles, organizationUserRoles } from './organization-role-table.ts'
import { organizationUsers } from './organization-table.ts'
import type { RoleRow } from './role-store.ts'

/** A member with the user's data that lists show. */
export type MemberRow = typeof organizationUsers.$inferSelect & { name: string; email: string; roles: RoleRow[] }

/** The SQL of members. A transaction that changes owners locks the organization first. */
export interface MemberStore {
  /** Returns the members, oldest first. */
  list(organizationId: string): Promise<MemberRow[]>
  find(organizationId: string, userId: string): Promise<MemberRow | undefined>
  /** Whether a user with this email, in any case, is a member. */
  hasEmail(organizationId: string, email: string): Promise<boolean>
  countOwners(organizationId: string): Promise<number>
  /** Returns false when the user is a member already. */
  insert(organizationId: string, userId: string, role: 'owner' | 'member'): Promise<boolean>
  setRole(organizationId: string, userId: string, role: 'owner' | 'member'): Promise<void>
  /** Replaces the set; each id must be one of a role that the organization can assign. */
  setAssignedRoles(organizationId: string, userId: string, roleIds: readonly string[]): Promise<void>
  /** Removes the member with their roles and keys. */
  remove(organizationId: string, userId: string): Promise<void>
}

export function createMemberStore(db: Queryable): MemberStore {
  const member = (organizationId: string, userId: string) =>
    and(eq(organizationUsers.organizationId, organizationId), eq(organizationUsers.userId, userId))
  return {
    list: (organizationId) => list(db, organizationId),
    async find(organizationId, userId) {
      const [row] = await list(db, organizationId, userId)
      return row
    },
    async hasEmail(organizationId, email) {
      const rows = await db
        .select({ id: users.id })
        .from(organizationUsers)
        .innerJoin(users, eq(users.id, organizationUsers.userId))
        .where(and(eq(organizationUsers.organizationId, organizationId), sql`lower(${users.email}) = lower(${email})`))
        .limit(1)
      return rows.length > 0
    },
    countOwners: (organizationId) =>
      db.$count(
        organizationUsers,
        and(eq(organizationUsers.organizationId, organizationId), eq(organizationUsers.role, 'owner')),
      ),
    async insert(organizationId, userId, role) {
      const rows = await db
        .insert(organizationUsers)
        .values({ organizationId, userId, role })
        .onConflictDoNothing()
        .returning({ userId: organizationUsers.userId })
      return rows.length > 0
    },
    async setRole(organizationId, userId, role) {
      const values = { role, updatedAt: sql`now()` }
      await db.update(organizationUsers).set(values).where(member(organizationId, userId))
    },
    async setAssignedRoles(organizationId, userId, roleIds) {
      const mine = eq(organizationUserRoles.organizationId, organizationId)
      await db.delete(organizationUserRoles).where(and(mine, eq(organizationUserRoles.userId, userId)))
      if (roleIds.length === 0) return
      await db.insert(organizationUserRoles).values(roleIds.map((roleId) => ({ organizationId, userId, roleId })))
    },
    async remove(organizationId, userId) {
      await db.delete(organizationUsers).where(member(organizationId, userId))
    },
  }
}

async function list(db: Queryable, organizationId: string, userId?: string): Promise<MemberRow[]> {
  const mine = eq(organizationUsers.organizationId, organizationId)
  const rows = await db
    .select({ member: organizationUsers, name: users.name, email: users.email })
    .from(organizationUsers)
    .innerJoin(users, eq(users.id, organizationUsers.userId))
    .where(and(mine, userId === undefined ? undefined : eq(organizationUsers.userId, userId)))
    .orderBy(organizationUsers.createdAt, organizationUsers.userId)
  const roles = await rolesOf(
    db,
    organizationId,
    rows.map(({ member }) => member.userId),
  )
  return rows.map(({ member, ...shown }) => ({ ...member, ...shown, roles: roles.get(member.userId) ?? [] }))
}

async function rolesOf(
  db: Queryable,
  organizationId: string,
  userIds: readonly string[],
): Promise<Map<string, RoleRow[]>> {
  const byUser = new Map<string, RoleRow[]>()
  if (userIds.length === 0) return byUser
  const theirs = inArray(organizationUserRoles.userId, [...userIds])
  const rows = await db
    .select({ userId: organizationUserRoles.userId, role: organizationRoles })
    .from(organizationUserRoles)
    .innerJoin(organizationRoles, eq(organizationRoles.id, organizationUserRoles.roleId))
    .where(and(eq(organizationUserRoles.organizationId, organizationId), theirs))
    .orderBy(organizationRoles.id)
  for (const { userId, role } of rows) byUser.set(userId, [...(byUser.get(userId) ?? []), role])
  return byUser
}
