import type { SQL } from 'drizzle-orm'
import { and, asc, eq, gt, inArray, isNull, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { InvitationRow } from './invitation-table.ts'
import { organizationInvitationRoles, organizationInvitations } from './invitation-table.ts'
import { organizationRoles } from './organization-role-table.ts'
import { organizations } from './organization-table.ts'
import type { RoleRow } from './role-store.ts'

export type NewInvitation = Pick<InvitationRow, 'organizationId' | 'email' | 'invitedBy' | 'role' | 'expiresAt'>
export type InvitationChanges = Partial<Pick<InvitationRow, 'status' | 'role' | 'expiresAt'>>
export type InvitationWithRoles = InvitationRow & { organizationName: string; roles: RoleRow[] }

/**
 * The SQL of invitations. Those of deleted organizations are not found. A transaction that changes one locks its
 * organization.
 */
export interface InvitationStore {
  insert(values: NewInvitation, roleIds: readonly string[]): Promise<string>
  find(id: string): Promise<InvitationWithRoles | undefined>
  /** Returns pending invitations that have not expired at `now`, oldest first. */
  listStanding(of: { organizationId: string } | { email: string }, now: Date): Promise<InvitationWithRoles[]>
  countStanding(email: string, now: Date): Promise<number>
  update(id: string, changes: InvitationChanges): Promise<void>
  setRoles(id: string, roleIds: readonly string[]): Promise<void>
}

export function createInvitationStore(db: Queryable): InvitationStore {
  return {
    async insert(values, roleIds) {
      const [row] = await db
        .insert(organizationInvitations)
        .values(values)
        .returning({ id: organizationInvitations.id })
      if (row === undefined) throw new Error('the new invitation was not returned')
      await insertRoles(db, row.id, roleIds)
      return row.id
    },
    async find(id) {
      const [row] = await select(db, eq(organizationInvitations.id, id))
      return row
    },
    listStanding: (of, now) => {
      const whose = 'email' in of ? hasEmail(of.email) : eq(organizationInvitations.organizationId, of.organizationId)
      return select(db, and(whose, stands(now)))
    },
    async countStanding(email, now) {
      const [row] = await db
        .select({ count: sql<number>`count(*)::int` })
        .from(organizationInvitations)
        .innerJoin(organizations, eq(organizations.id, organizationInvitations.organizationId))
        .where(and(hasEmail(email), stands(now), isNull(organizations.deletedAt)))
      return row?.count ?? 0
    },
    async update(id, changes) {
      const values = { ...changes, updatedAt: sql`now()` }
      await db.update(organizationInvitations).set(values).where(eq(organizationInvitations.id, id))
    },
    async setRoles(id, roleIds) {
      await db.delete(organizationInvitationRoles).where(eq(organizationInvitationRoles.invitationId, id))
      await insertRoles(db, id, roleIds)
    },
  }
}

function hasEmail(email: string): SQL {
  return sql`lower(${organizationInvitations.email}) = lower(${email})`
}

function stands(now: Date): SQL | undefined {
  return and(eq(organizationInvitations.status, 'pending'), gt(organizationInvitations.expiresAt, now))
}

async function insertRoles(db: Queryable, invitationId: string, roleIds: readonly string[]): Promise<void> {
  if (roleIds.length === 0) return
  await db.insert(organizationInvitationRoles).values(roleIds.map((roleId) => ({ invitationId, roleId })))
}

async function select(db: Queryable, where: SQL | undefined): Promise<InvitationWithRoles[]> {
  const rows = await db
    .select({ invitation: organizationInvitations, organizationName: organizations.name })
    .from(organizationInvitations)
    .innerJoin(organizations, eq(organizations.id, organizationInvitations.organizationId))
    .where(and(where, isNull(organizations.deletedAt)))
    .orderBy(asc(organizationInvitations.createdAt), organizationInvitations.id)
  const roles = await rolesOf(
    db,
    rows.map(({ invitation }) => invitation.id),
  )
  return rows.map(({ invitation, organizationName }) => ({
    ...{ ...invitation, organizationName },
    roles: roles.get(invitation.id) ?? [],
  }))
}

async function rolesOf(db: Queryable, ids: readonly string[]): Promise<Map<string, RoleRow[]>> {
  const byInvitation = new Map<string, RoleRow[]>()
  if (ids.length === 0) return byInvitation
  const rows = await db
    .select({ id: organizationInvitationRoles.invitationId, role: organizationRoles })
    .from(organizationInvitationRoles)
    .innerJoin(organizationRoles, eq(organizationRoles.id, organizationInvitationRoles.roleId))
    .where(inArray(organizationInvitationRoles.invitationId, [...ids]))
    .orderBy(organizationRoles.id)
  for (const { id, role } of rows) byInvitation.set(id, [...(byInvitation.get(id) ?? []), role])
  return byInvitation
}
