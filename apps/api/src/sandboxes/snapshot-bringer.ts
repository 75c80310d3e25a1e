import type { Database } from '../database/database.ts'
import type { SnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import { RunnerAwayError, SnapshotFailure } from '../snapshots/snapshot-steps.ts'
import type { SnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SnapshotTransfers } from '../snapshots/snapshot-transfers.ts'
import type { SandboxRow } from './sandbox-table.ts'

export interface SnapshotBringerOptions {
  database: Pick<Database, 'db'>
  store: Pick<SnapshotStore, 'findById'>
  holdings: Pick<SnapshotRunnerStore, 'holdersOf'>
  transfers: SnapshotTransfers
}

/** Sees to it that the runner on which a sandbox is restored has its snapshot. */
export interface SnapshotBringer {
  /**
   * Whether the runner has it. Where it has not, the snapshot is brought there meanwhile, and the caller asks again. Throws
   * SnapshotFailure where its runner could not make it, and RunnerAwayError while there is nobody to bring it from, or where
   * a call failed.
   */
  isThere(row: SandboxRow): Promise<boolean>
}

export function createSnapshotBringer(options: SnapshotBringerOptions): SnapshotBringer {
  const { database, store, holdings, transfers } = options
  return {
    async isThere({ runnerId, snapshotId, snapshotRef, snapshot: name }) {
      const holders = await holdings.holdersOf(database.db, snapshotRef ?? name)
      if (runnerId === null || holders.includes(runnerId)) return true
      const snapshot = snapshotId === null ? undefined : await store.findById(snapshotId)
      // Nobody brings what is built in: the runner says itself that it is not there.
      if (snapshot === undefined || snapshot.kind === 'builtin') return true
      // A deleted one is brought, too: the sandbox cannot be without it.
      const transfer = transfers.bring(runnerId, snapshot)
      if (transfer.kind === 'coming') return false
      const message = `${NOT_BROUGHT}: ${transfer.reason}`
      throw transfer.kind === 'permanent' ? new SnapshotFailure(message) : new RunnerAwayError(message)
    },
  }
}

const NOT_BROUGHT = 'its snapshot could not be brought to its runner'
