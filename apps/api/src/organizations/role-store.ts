import { and, eq, inArray, isNull, or, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { organizationRoles } from './organization-role-table.ts'

export type RoleRow = typeof organizationRoles.$inferSelect
export type RoleValues = Pick<RoleRow, 'name' | 'description' | 'permissions'>

/** The SQL of roles: an organization's own, and the global ones that every organization has. */
export interface RoleStore {
  /** Returns the roles by id, so that the global ones come first. */
  list(organizationId: string): Promise<RoleRow[]>
  find(organizationId: string, id: string): Promise<RoleRow | undefined>
  /** Returns the roles of `ids` that the organization can assign. */
  findMany(organizationId: string, ids: readonly string[]): Promise<RoleRow[]>
  /** Returns undefined when the organization has a role of that name. */
  insert(organizationId: string, values: RoleValues): Promise<RoleRow | undefined>
  /** Changes one of the organization's own roles. */
  update(organizationId: string, id: string, values: RoleValues): Promise<RoleRow | undefined>
  /** Whether another of the organization's own roles has the name. */
  isNameTaken(organizationId: string, name: string, exceptId: string): Promise<boolean>
  /** Deletes the role and takes it from its members. */
  remove(organizationId: string, id: string): Promise<void>
}

export function createRoleStore(db: Queryable): RoleStore {
  const usable = (organizationId: string) =>
    or(isNull(organizationRoles.organizationId), eq(organizationRoles.organizationId, organizationId))
  const own = (organizationId: string, id: string) =>
    and(eq(organizationRoles.id, id), eq(organizationRoles.organizationId, organizationId))
  return {
    async list(organizationId) {
      return await db.select().from(organizationRoles).where(usable(organizationId)).orderBy(organizationRoles.id)
    },
    async find(organizationId, id) {
      const [row] = await db
        .select()
        .from(organizationRoles)
        .where(and(eq(organizationRoles.id, id), usable(organizationId)))
      return row
    },
    async findMany(organizationId, ids) {
      if (ids.length === 0) return []
      const wanted = and(inArray(organizationRoles.id, [...ids]), usable(organizationId))
      return await db.select().from(organizationRoles).where(wanted).orderBy(organizationRoles.id)
    },
    async insert(organizationId, values) {
      const [row] = await db
        .insert(organizationRoles)
        .values({ ...values, organizationId })
        .onConflictDoNothing()
        .returning()
      return row
    },
    async update(organizationId, id, values) {
      const [row] = await db
        .update(organizationRoles)
        .set({ ...values, updatedAt: sql`now()` })
        .where(own(organizationId, id))
        .returning()
      return row
    },
    async isNameTaken(organizationId, name, exceptId) {
      const named = and(eq(organizationRoles.organizationId, organizationId), eq(organizationRoles.name, name))
      const rows = await db.select({ id: organizationRoles.id }).from(organizationRoles).where(named)
      return rows.some(({ id }) => id !== exceptId)
    },
    async remove(organizationId, id) {
      await db.delete(organizationRoles).where(own(organizationId, id))
    },
  }
}
