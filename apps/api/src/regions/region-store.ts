import type { UpdateRegion } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, isNull, or, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { runners } from '../runners/runner-table.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import type { RegionRow } from './region-table.ts'
import { regions } from './region-table.ts'

/** The SQL of regions. An organization may use its own and the shared ones. */
export interface RegionStore {
  listShared(): Promise<RegionRow[]>
  /** Returns the shared ones first. */
  listUsable(organizationId: string): Promise<RegionRow[]>
  /** Finds the region of any organization. */
  find(id: string): Promise<RegionRow | undefined>
  /** Returns undefined when the name is taken there. */
  insert(region: { id: string; name: string; organizationId: string } & UpdateRegion): Promise<RegionRow | undefined>
  /** Returns undefined when the organization has no region of its own with this id. */
  update(id: string, organizationId: string, changes: UpdateRegion): Promise<RegionRow | undefined>
  /** Returns `in use` while a runner or a sandbox is in the region. */
  remove(id: string, organizationId: string): Promise<'removed' | 'in use' | 'unknown'>
}

export function createRegionStore({ db, transaction }: Database): RegionStore {
  const shared = isNull(regions.organizationId)
  const order: [SQL, typeof regions.name] = [sql`${regions.organizationId} nulls first`, regions.name]
  return {
    listShared: async () => await db.select().from(regions).where(shared).orderBy(regions.name),
    async listUsable(organizationId) {
      const usable = or(shared, eq(regions.organizationId, organizationId))
      return await db
        .select()
        .from(regions)
        .where(usable)
        .orderBy(...order)
        .prepare('usable_regions')
        .execute()
    },
    async find(id) {
      const [row] = await db.select().from(regions).where(eq(regions.id, id))
      return row
    },
    async insert(region) {
      const [row] = await db
        .insert(regions)
        .values({ ...region, regionType: 'custom' })
        .onConflictDoNothing()
        .returning()
      return row
    },
    async update(id, organizationId, changes) {
      const [row] = await db
        .update(regions)
        .set({ ...changes, updatedAt: sql`now()` })
        .where(ownedBy(id, organizationId))
        .returning()
      return row
    },
    remove: (id, organizationId) =>
      transaction(async (tx) => {
        const [row] = await tx.select().from(regions).where(ownedBy(id, organizationId)).for('update')
        if (row === undefined) return 'unknown'
        const living = and(eq(sandboxes.target, id), sql`${sandboxes.state} <> 'destroyed'`)
        const held = await tx.select({ id: sandboxes.id }).from(sandboxes).where(living).limit(1)
        const here = and(eq(runners.region, id), isNull(runners.removedAt))
        const served = await tx.select({ id: runners.id }).from(runners).where(here).limit(1)
        if (held.length + served.length > 0) return 'in use'
        await tx.delete(regions).where(ownedBy(id, organizationId))
        return 'removed'
      }),
  }
}

function ownedBy(id: string, organizationId: string): SQL | undefined {
  return and(eq(regions.id, id), eq(regions.organizationId, organizationId))
}
