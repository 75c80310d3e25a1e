import type { SandboxCommand } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, inArray, ne, notInArray, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { sandboxBackups } from './backups/backup-table.ts'
import { isLeftSomewhere } from './runner-loss/former-placements.ts'
import type { SandboxStore } from './sandbox-store.ts'
import { countsFor } from './sandbox-store.ts'
import { sandboxes } from './sandbox-table.ts'

/** The most sandboxes that one call of `stopAll` or `destroyAll` asks to end; the others wait for the next call. */
const MAX_ENDED_AT_ONCE = 1_000

/** An organization's use in one region, in cores and GiB: cpu and memory of started sandboxes, disk of all but archived ones. */
export interface RegionUsage {
  regionId: string
  cpu: number
  memoryGib: number
  diskGib: number
  sandboxes: number
  started: number
}

/** Acts on all sandboxes of an organization. */
export interface OrganizationSandboxes {
  /** Returns one row for each region with sandboxes; failed ones are not counted. */
  usage(organizationId: string): Promise<RegionUsage[]>
  /** Asks the started sandboxes of these organizations to stop, for `reason`. */
  stopAll(organizationIds: readonly string[], reason: string): Promise<void>
  /** Asks for the deletion of every sandbox. */
  destroyAll(organizationId: string, reason: string): Promise<void>
  /** Deletes the rows. Returns false instead while a sandbox, a backup or files on a lost runner are not destroyed yet. */
  forget(tx: Queryable, organizationId: string): Promise<boolean>
}

export function createOrganizationSandboxes(options: {
  database: Pick<Database, 'db'>
  store: Pick<SandboxStore, 'change'>
}): OrganizationSandboxes {
  const { db } = options.database

  async function tell(which: SQL | undefined, event: SandboxCommand, reason: string): Promise<void> {
    const rows = await db.select({ id: sandboxes.id }).from(sandboxes).where(which).limit(MAX_ENDED_AT_ONCE)
    const actor = { kind: 'reconciler' } as const
    for (const { id } of rows) await options.store.change({ id, actor, event, reason })
  }

  return {
    usage: (organizationId) => usageByRegion(db, organizationId),
    stopAll(organizationIds, reason) {
      const started = and(eq(sandboxes.state, 'started'), eq(sandboxes.desiredState, 'started'))
      return tell(and(inArray(sandboxes.organizationId, [...organizationIds]), started), 'stop', reason)
    },
    destroyAll(organizationId, reason) {
      const mine = eq(sandboxes.organizationId, organizationId)
      return tell(and(mine, ne(sandboxes.desiredState, 'destroyed')), 'delete', reason)
    },
    async forget(tx, organizationId) {
      const mine = eq(sandboxes.organizationId, organizationId)
      const left = await tx.$count(sandboxes, and(mine, ne(sandboxes.state, 'destroyed')))
      const ids = tx.select({ id: sandboxes.id }).from(sandboxes).where(mine)
      const backups = await tx.$count(sandboxBackups, inArray(sandboxBackups.sandboxId, ids))
      if (left + backups > 0) return false
      // A sandbox without a row would not be deleted on a runner that returns.
      if (await isLeftSomewhere(tx, organizationId)) return false
      await tx.delete(sandboxes).where(mine)
      return true
    },
  }
}

async function usageByRegion(db: Queryable, organizationId: string): Promise<RegionUsage[]> {
  const started = sql`${sandboxes.state} = 'started' and ${sandboxes.desiredState} = 'started'`
  return await db
    .select({
      regionId: sandboxes.target,
      cpu: sql<number>`coalesce(sum(${sandboxes.cpu}) filter (where ${started}), 0)::float8`,
      memoryGib: sql<number>`coalesce(sum(${sandboxes.memoryGib}) filter (where ${started}), 0)::float8`,
      diskGib: sql<number>`coalesce(sum(${sandboxes.diskGib}) filter (where ${sandboxes.state} <> 'archived'), 0)::float8`,
      sandboxes: sql<number>`count(*)::float8`,
      started: sql<number>`(count(*) filter (where ${started}))::float8`,
    })
    .from(sandboxes)
    .where(and(countsFor(organizationId), notInArray(sandboxes.state, ['destroyed', 'error', 'build_failed'])))
    .groupBy(sandboxes.target)
    .orderBy(sandboxes.target)
}
