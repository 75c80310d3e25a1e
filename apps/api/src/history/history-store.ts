import { and, eq, exists, inArray, isNull, lt, not, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { runners } from '../runners/runner-table.ts'
import { sandboxBackups } from '../sandboxes/backups/backup-table.ts'
import { formerPlacements } from '../sandboxes/runner-loss/former-placement-table.ts'
import { sandboxEvents, sandboxes } from '../sandboxes/sandbox-table.ts'
import { snapshotEvents } from '../snapshots/snapshot-table.ts'
import { sandboxVolumes, volumeEvents } from '../volumes/volume-table.ts'

/** The kinds of rows that are kept for some time, to be looked up. */
export const histories = ['destroyedSandboxes', 'sandboxEvents', 'snapshotEvents', 'volumeEvents'] as const
export type History = (typeof histories)[number]

/** The SQL that deletes old rows. */
export interface HistoryStore {
  /** Deletes rows older than `before`, the oldest first and `limit` rows at most; returns their number. */
  forget(history: History, before: Date, limit: number): Promise<number>
}

const eventTables = { sandboxEvents, snapshotEvents, volumeEvents }

export function createHistoryStore(database: Pick<Database, 'transaction'>): HistoryStore {
  return {
    forget: (history, before, limit) =>
      history === 'destroyedSandboxes'
        ? forgetSandboxes(database, before, limit)
        : forgetEvents(database, { table: eventTables[history], before, limit }),
  }
}

/** The condition for events that tell that the files of a sandbox on a former runner are needless (L7). */
const isNeeded = sql`(${sandboxEvents.event} = 'saved' and exists (select 1 from former_placements
  where former_placements.sandbox_id = ${sandboxEvents.sandboxId} and former_placements.cleared_at is null
    and former_placements.left_at <= ${sandboxEvents.at}))`

interface EventsToForget {
  table: (typeof eventTables)[keyof typeof eventTables]
  before: Date
  limit: number
}

function forgetEvents(
  database: Pick<Database, 'transaction'>,
  { table, before, limit }: EventsToForget,
): Promise<number> {
  return database.transaction(async (tx) => {
    const isOld = and(lt(table.at, before), table === sandboxEvents ? not(isNeeded) : undefined)
    const old = tx.select({ id: table.id }).from(table).where(isOld).orderBy(table.at).limit(limit)
    // Rows locked by another replica are deleted by it.
    const rows = await tx
      .delete(table)
      .where(inArray(table.id, old.for('update', { skipLocked: true })))
      .returning({ id: table.id })
    return rows.length
  })
}

/**
 * Deletes only sandboxes that left nothing behind: a backup's row leads to its object, a former placement's to a lost
 * runner.
 */
function forgetSandboxes(database: Pick<Database, 'transaction'>, before: Date, limit: number): Promise<number> {
  return database.transaction(async (tx) => {
    const backups = tx.select().from(sandboxBackups).where(eq(sandboxBackups.sandboxId, sandboxes.id))
    const places = tx
      .select({ one: sql`1` })
      .from(formerPlacements)
      .innerJoin(runners, eq(runners.id, formerPlacements.runnerId))
      .where(
        and(
          eq(formerPlacements.sandboxId, sandboxes.id),
          isNull(formerPlacements.clearedAt),
          isNull(runners.removedAt),
        ),
      )
    const rows = await tx
      .select({ id: sandboxes.id })
      .from(sandboxes)
      .where(
        and(
          eq(sandboxes.state, 'destroyed'),
          lt(sandboxes.changedAt, before),
          not(exists(backups)),
          not(exists(places)),
        ),
      )
      .orderBy(sandboxes.changedAt)
      .limit(limit)
      .for('update', { skipLocked: true })
    const ids = rows.map(({ id }) => id)
    if (ids.length === 0) return 0
    await tx.delete(sandboxVolumes).where(inArray(sandboxVolumes.sandboxId, ids))
    await tx.delete(sandboxes).where(inArray(sandboxes.id, ids))
    return ids.length
  })
}
