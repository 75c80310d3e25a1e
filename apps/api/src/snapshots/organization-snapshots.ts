import { and, eq, inArray, isNotNull, ne, notInArray } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import type { OrganizationBelongings } from '../organizations/organization-upkeep.ts'
import type { SnapshotUsage } from '../organizations/quota-limits.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import { snapshots } from './snapshot-table.ts'

/** The most snapshots that one call makes inactive or deletes; the others wait for the next call. */
const MAX_ENDED_AT_ONCE = 1_000

/** All snapshots of an organization. Its general snapshots end with it. */
export interface OrganizationSnapshots extends OrganizationBelongings {
  usage(organizationId: string): Promise<SnapshotUsage>
  /**
   * Makes the named snapshots of these organizations inactive, except general ones. Images that can be pulled again
   * leave their runners, unless a sandbox there needs them; other snapshots stay, because they exist nowhere else.
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
