import type { StoredSnapshotState } from '@atoll/protocol'
import { AppError, snapshotSteps } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { createRowLeases } from '../reconciliation/row-leases.ts'
import type {
  RowReconciler,
  RowReconcilerLimits,
  RowReconcilerOptions,
  RowWork,
} from '../reconciliation/row-reconciler.ts'
import { createRowReconciler, isTimeout } from '../reconciliation/row-reconciler.ts'
import { RunnerCallError } from '../runners/runner-answer.ts'
import { verdictOn } from '../sandboxes/step-failure.ts'
import type { SnapshotChanges } from './snapshot-changes.ts'
import { limitOf, tooLong } from './snapshot-limits.ts'
import type { MakeSnapshotStep, SnapshotOutcome } from './snapshot-steps.ts'
import { failureReason, RunnerAwayError, SnapshotFailure } from './snapshot-steps.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import type { SnapshotRow } from './snapshot-table.ts'
import { snapshots } from './snapshot-table.ts'

export interface SnapshotReconcilerOptions {
  database: Pick<Database, 'db'>
  store: Pick<SnapshotStore, 'readLeased' | 'change'>
  make: MakeSnapshotStep
  runners: RowReconcilerOptions<StoredSnapshotState, SnapshotRow, SnapshotOutcome>['runners']
  changes: SnapshotChanges
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  limits?: Partial<RowReconcilerLimits> | undefined
}

/** The states in which `snapshotSteps` has a step. */
const due = sql`state in ('build_pending', 'building', 'pending', 'pulling', 'snapshotting', 'pending_validation',
  'validating')`

/** Brings snapshots under way to their end: docs/spec/snapshot-state.md, M1 to M5. */
export function createSnapshotReconciler(options: SnapshotReconcilerOptions): RowReconciler {
  const { store, now } = options
  const work: RowWork<StoredSnapshotState, SnapshotRow, SnapshotOutcome> = {
    what: 'snapshot',
    leases: createRowLeases({ db: options.database.db, table: snapshots, due }),
    read: (id, owner) => store.readLeased(id, owner),
    isDue: (state) => snapshotSteps[state] !== 'none',
    leftMs: (row) => row.changedAt.getTime() + limitOf(row.state) - now(),
    take: options.make,
    async record(id, outcome, owner) {
      const result = await store.change({ id, leaseOwner: owner, ...outcome })
      return result?.row
    },
    verdictOn(error) {
      if (error instanceof RunnerAwayError) return 'away'
      if (error instanceof SnapshotFailure || error instanceof AppError) return 'permanent'
      if (error instanceof RunnerCallError && error.code === 'RUNNER_INCAPABLE') return 'permanent'
      return verdictOn(error)
    },
    giveUp: (row, error) => ({
      event: 'failed',
      reason: isTimeout(error) ? tooLong(row.state) : failureReason(error),
    }),
  }
  const { runners, changes, log, limits } = options
  return createRowReconciler({ work, runners, changes, log, limits })
}
