import { and, eq, isNotNull, isNull, lt } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { OrganizationRow } from './organization-table.ts'
import { organizations } from './organization-table.ts'

/** The SQL that finds organizations for the upkeep. */
export interface UpkeepStore {
  /** Returns the ids of organizations marked as deleted, oldest first. */
  deleted(limit: number): Promise<string[]>
  /** Returns the organizations whose suspension began before `before`. */
  suspendedBefore(before: Date): Promise<OrganizationRow[]>
  remove(id: string): Promise<void>
}

export function createUpkeepStore(db: Queryable): UpkeepStore {
  return {
    async deleted(limit) {
      const rows = await db
        .select({ id: organizations.id })
        .from(organizations)
        .where(isNotNull(organizations.deletedAt))
        .orderBy(organizations.deletedAt)
        .limit(limit)
      return rows.map(({ id }) => id)
    },
    async suspendedBefore(before) {
      const long = and(organizations.suspended, lt(organizations.suspendedAt, before))
      const live = isNull(organizations.deletedAt)
      return await db.select().from(organizations).where(and(long, live))
    },
    async remove(id) {
      await db.delete(organizations).where(eq(organizations.id, id))
    },
  }
}
