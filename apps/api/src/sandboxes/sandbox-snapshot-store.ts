import { and, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { Actor } from '../reconciliation/state-events.ts'
import { eventValues, RECONCILER } from '../reconciliation/state-events.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import { snapshots } from '../snapshots/snapshot-table.ts'
import { formerPlacements } from './runner-loss/former-placement-table.ts'
import type { SandboxStoreOptions } from './sandbox-change-store.ts'
import { writeEvents } from './sandbox-change-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { sandboxes } from './sandbox-table.ts'
import { shownStateOf } from './shown-state-of.ts'

/** The most waiting sandboxes that one query returns, the longest waiting first. */
const WAITING_LIMIT = 1_000

/** A sandbox that cannot be made before its snapshot is there. */
export interface WaitingSandbox {
  sandbox: Pick<SandboxRow, 'id' | 'state' | 'runnerId' | 'changedAt'>
  /** When it was last taken from a lost runner; null if it never was. */
  movedAt: Date | null
  snapshot: SnapshotRow
  /** Whether the sandbox's runner has the snapshot. */
  isHere: boolean
}

/** The SQL of sandboxes that wait for a snapshot, or that a snapshot is made of. */
export interface SandboxSnapshotStore {
  waiting(): Promise<WaitingSandbox[]>
  /**
   * Notes that a snapshot is being made of a sandbox that runs or has stopped, which stays locked until `tx` ends: then the
   * caller emits the change. Returns undefined if the sandbox does something else.
   */
  beginSnapshot(tx: Queryable, id: string, by: { snapshotId: string; actor: Actor }): Promise<SandboxRow | undefined>
  /** Ends `snapshotting` of the sandboxes whose snapshot is made, or will never be. */
  endSnapshots(): Promise<void>
}

export function createSandboxSnapshotStore({ database, changes, now }: SandboxStoreOptions): SandboxSnapshotStore {
  const { db } = database

  /** Writes the begin or the end of a snapshot: a change of the shown state (R8), and a use of the sandbox. */
  async function write(tx: Queryable, row: SandboxRow, change: SnapshotChange): Promise<SandboxRow> {
    const { event, actor, snapshottingId } = change
    const at = new Date(now())
    const columns = { snapshottingId, changedAt: at, lastActivityAt: at, updatedAt: at }
    const from = { state: shownStateOf(row), since: row.changedAt }
    const values = eventValues({ actor, event, from, to: shownStateOf({ ...row, ...columns }), at })
    const [[written]] = await Promise.all([
      tx.update(sandboxes).set(columns).where(eq(sandboxes.id, row.id)).returning(),
      writeEvents(tx, [{ ...values, sandboxId: row.id, organizationId: row.organizationId }], changes.payload(row)),
    ])
    if (written === undefined) throw new Error('a locked row is gone')
    return written
  }

  /** Returns undefined if another replica did it meanwhile, or if it does not show because the sandbox is deleted or lost. */
  async function end(tx: Queryable, { id, snapshottingId }: Snapshotting): Promise<SandboxRow | undefined> {
    const still = and(eq(sandboxes.id, id), eq(sandboxes.snapshottingId, snapshottingId))
    const [row] = await tx.select().from(sandboxes).where(still).for('update')
    if (row === undefined) return undefined
    if (shownStateOf(row) === 'snapshotting')
      return await write(tx, row, { event: 'snapshotted', actor: RECONCILER, snapshottingId: null })
    await tx.update(sandboxes).set({ snapshottingId: null }).where(still)
    return undefined
  }

  return {
    async waiting() {
      const { id, state, runnerId, changedAt } = sandboxes
      const isHere = sql<boolean>`exists (select 1 from snapshot_runners where snapshot_runners.ref = ${snapshots.ref}
        and snapshot_runners.runner_id = ${sandboxes.runnerId} and snapshot_runners.state = 'active')`
      const movedAt = sql<Date | null>`(select max(left_at) from former_placements
        where former_placements.sandbox_id = ${sandboxes.id})`.mapWith(formerPlacements.leftAt)
      return await db
        .select({ sandbox: { id, state, runnerId, changedAt }, movedAt, snapshot: snapshots, isHere })
        .from(sandboxes)
        .innerJoin(snapshots, eq(snapshots.id, sandboxes.snapshotId))
        .where(
          and(
            // Written without parameters, so that PostgreSQL sees that `sandboxes_waiting_index` fits.
            sql`${sandboxes.state} in ('pending_build', 'building_snapshot', 'pulling_snapshot')`,
            eq(sandboxes.desiredState, 'started'),
          ),
        )
        .orderBy(sandboxes.changedAt)
        .limit(WAITING_LIMIT)
    },
    async beginSnapshot(tx, id, { snapshotId, actor }) {
      const free = and(
        inArray(sandboxes.state, ['started', 'stopped']),
        eq(sandboxes.state, sandboxes.desiredState),
        eq(sandboxes.lost, false),
        isNull(sandboxes.snapshottingId),
      )
      const [row] = await tx
        .select()
        .from(sandboxes)
        .where(and(eq(sandboxes.id, id), free))
        .for('update')
      return row && (await write(tx, row, { event: 'snapshot', actor, snapshottingId: snapshotId }))
    },
    async endSnapshots() {
      const isUnderWay = sql`exists (select 1 from snapshots
        where snapshots.id = ${sandboxes.snapshottingId} and snapshots.state = 'snapshotting')`
      const ended = await db
        .select({ id: sandboxes.id, snapshottingId: sql<string>`${sandboxes.snapshottingId}` })
        .from(sandboxes)
        .where(and(isNotNull(sandboxes.snapshottingId), sql`not ${isUnderWay}`))
      for (const snapshotting of ended) {
        const row = await database.transaction((tx) => end(tx, snapshotting))
        if (row !== undefined) changes.emit(row, row)
      }
    },
  }
}

interface SnapshotChange {
  event: 'snapshot' | 'snapshotted'
  actor: Actor
  snapshottingId: string | null
}

/** A sandbox, and the snapshot that is made of it. */
interface Snapshotting {
  id: string
  snapshottingId: string
}
