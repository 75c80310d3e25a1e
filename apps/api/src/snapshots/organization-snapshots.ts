import { and, eq, inArray, isNotNull, ne, notInArray } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import type { OrganizationBelongings } from '../organizations/organization-upkeep.ts'
import type { SnapshotUsage } from '../organizations/quota-limits.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import { snapshots } from './snapshot-table.ts'

/** Snapshots that one call makes inactive or asks to end; those above it wait for the next. */
const MAX_ENDED_AT_ONCE = 1_000

/** The snapshots of an organization as a whole. Those that it lent to all others end with it. */
export interface OrganizationSnapshots extends OrganizationBelongings {
  usage(organizationId: string): Promise<SnapshotUsage>
  /**
   * Makes inactive what these have under a name and lent to nobody. What can be pulled again leaves its runners, unless a
   * sandbox there needs it; the rest has no other place to be.
   */
  stopAll(organizationIds: readonly string[], reason: string): Promise<void>
}

export function createOrganizationSnapshots(options: {
  database: Pick<Database, 'db'>
  store: Pick<SnapshotStore, 'change' | 'usage'>
  holdings: Pick<SnapshotRunnerStore, 'releaseInactive'>
}): OrganizationSnapshots {
  const { store, holdings } = options
  const { db } = options.database
  return {
    usage: (organizationId) => store.usage(db, organizationId),
    async stopAll(organizationIds, reason) {
      const theirs = and(inArray(snapshots.organizationId, [...organizationIds]), eq(snapshots.general, false))
      const rows = await db
        .select({ id: snapshots.id })
        .from(snapshots)
        .where(and(theirs, isNotNull(snapshots.name), eq(snapshots.state, 'active')))
        .limit(MAX_ENDED_AT_ONCE)
      for (const { id } of rows) await store.change({ id, event: 'unused', reason })
      await holdings.releaseInactive(organizationIds)
    },
    async destroyAll(organizationId, reason) {
      const mine = eq(snapshots.organizationId, organizationId)
      const rows = await db
        .select({ id: snapshots.id })
        .from(snapshots)
        .where(and(mine, notInArray(snapshots.state, ['removing', 'removed'])))
        .limit(MAX_ENDED_AT_ONCE)
      for (const { id } of rows) await store.change({ id, event: 'delete', reason })
    },
    async forget(tx, organizationId) {
      const mine = eq(snapshots.organizationId, organizationId)
      if ((await tx.$count(snapshots, and(mine, ne(snapshots.state, 'removed')))) > 0) return false
      await tx.delete(snapshots).where(mine)
      return true
    },
  }
}
