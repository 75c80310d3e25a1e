import { and, eq, inArray, isNotNull, isNull, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import { snapshots } from '../snapshots/snapshot-table.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { sandboxes } from './sandbox-table.ts'

/** Sandboxes that are looked at in one go, those that wait longest first. */
const WAITING_LIMIT = 1_000

/** A sandbox that cannot be made before its snapshot is there. */
export interface WaitingSandbox {
  sandbox: Pick<SandboxRow, 'id' | 'state' | 'runnerId' | 'changedAt'>
  snapshot: SnapshotRow
  /** Whether the sandbox's runner has it. */
  isHere: boolean
}

/** The SQL of what sandboxes and snapshots have to do with each other. */
export interface SandboxSnapshotStore {
  waiting(): Promise<WaitingSandbox[]>
  /**
   * Notes that a snapshot is being made of a sandbox that runs or has stopped, which stays locked until `tx` is through.
   * Undefined when it does something else.
   */
  beginSnapshot(tx: Queryable, id: string, snapshotId: string): Promise<SandboxRow | undefined>
  /** Ends that for those whose snapshot is made, or will never be; answers their ids. */
  endSnapshots(): Promise<string[]>
}

export function createSandboxSnapshotStore({ db }: Pick<Database, 'db'>): SandboxSnapshotStore {
  return {
    async waiting() {
      const { id, state, runnerId, changedAt } = sandboxes
      const isHere = sql<boolean>`exists (select 1 from snapshot_runners where snapshot_runners.ref = ${snapshots.ref}
        and snapshot_runners.runner_id = ${sandboxes.runnerId} and snapshot_runners.state = 'active')`
      return await db
        .select({ sandbox: { id, state, runnerId, changedAt }, snapshot: snapshots, isHere })
        .from(sandboxes)
        .innerJoin(snapshots, eq(snapshots.id, sandboxes.snapshotId))
        .where(
          and(
            // In these words: an index has them, which parameters would not be seen to match.
            sql`${sandboxes.state} in ('pending_build', 'building_snapshot', 'pulling_snapshot')`,
            eq(sandboxes.desiredState, 'started'),
          ),
        )
        .orderBy(sandboxes.changedAt)
        .limit(WAITING_LIMIT)
    },
    async beginSnapshot(tx, id, snapshotId) {
      const [row] = await tx
        .update(sandboxes)
        .set({ snapshottingId: snapshotId })
        .where(
          and(
            eq(sandboxes.id, id),
            inArray(sandboxes.state, ['started', 'stopped']),
            eq(sandboxes.state, sandboxes.desiredState),
            eq(sandboxes.lost, false),
            isNull(sandboxes.snapshottingId),
          ),
        )
        .returning()
      return row
    },
    async endSnapshots() {
      const isUnderWay = sql`exists (select 1 from snapshots
        where snapshots.id = ${sandboxes.snapshottingId} and snapshots.state = 'snapshotting')`
      const rows = await db
        .update(sandboxes)
        .set({ snapshottingId: null, updatedAt: sql`now()` })
        .where(and(isNotNull(sandboxes.snapshottingId), sql`not ${isUnderWay}`))
        .returning({ id: sandboxes.id })
      return rows.map(({ id }) => id)
    },
  }
}
