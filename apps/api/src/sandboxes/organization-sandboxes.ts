import type { SandboxCommand } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, inArray, ne, notInArray, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { sandboxBackups } from './backups/backup-table.ts'
import { isLeftSomewhere } from './runner-loss/former-placements.ts'
import type { SandboxStore } from './sandbox-store.ts'
import { countsFor } from './sandbox-store.ts'
import { sandboxes } from './sandbox-table.ts'

/** Sandboxes that one call of `stopAll` or `destroyAll` asks to end; those above it wait for the next. */
const MAX_ENDED_AT_ONCE = 1_000

/** What an organization uses in one region: cores and GiB. Cpu and memory by what is started, disk by all. */
export interface RegionUsage {
  regionId: string
  cpu: number
  memoryGib: number
  diskGib: number
  sandboxes: number
  started: number
}

/** The sandboxes of an organization as a whole. */
export interface OrganizationSandboxes {
  /** One row for each region where there are any, failed ones apart. */
  usage(organizationId: string): Promise<RegionUsage[]>
  /** Asks what these have started to stop, for `reason`. */
  stopAll(organizationIds: readonly string[], reason: string): Promise<void>
  /** Asks for the end of everything. */
  destroyAll(organizationId: string, reason: string): Promise<void>
  /** Deletes the rows when everything is destroyed, backups and what a lost runner has too; false while something is not. */
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
      // Without a row nothing is deleted on a runner that returns.
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
