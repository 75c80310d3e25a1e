import type { VolumeReport, VolumeState } from '@atoll/protocol'
import { volumeSteps } from '@atoll/protocol'
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
import { createRowReconciler } from '../reconciliation/row-reconciler.ts'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import { verdictOn } from '../sandboxes/step-failure.ts'
import type { VolumeChanges } from './volume-changes.ts'
import type { VolumeStore } from './volume-store.ts'
import type { VolumeRow } from './volume-table.ts'
import { volumes } from './volume-table.ts'

/** How long one step of a volume may take, in milliseconds. */
const STEP_MS = 60_000

interface VolumeOutcome {
  event: VolumeReport
  reason?: string
  runnerId?: string
}

export interface VolumeReconcilerOptions {
  database: Pick<Database, 'db'>
  store: Pick<VolumeStore, 'readLeased' | 'change'>
  runners: RowReconcilerOptions<VolumeState, VolumeRow, VolumeOutcome>['runners'] & {
    client(runnerId: string): RunnerClient | undefined
  }
  /** Returns the runner with the fewest volumes, of those that can be called now. */
  pickRunner: () => Promise<string | undefined>
  changes: VolumeChanges
  log: Logger
  limits?: Partial<RowReconcilerLimits> | undefined
}

/** Thrown when no runner can be asked now, which says nothing of the volume. */
class NobodyError extends Error {
  override readonly name = 'NobodyError'
}

/** The states in which `volumeSteps` has a step. */
const due = sql`state in ('pending_create', 'creating', 'pending_delete', 'deleting')`

/** Makes and deletes volumes on their runners: docs/spec/volume-state.md. */
export function createVolumeReconciler(options: VolumeReconcilerOptions): RowReconciler {
  const { store, runners, changes, log, limits } = options

  function clientOf({ runnerId }: VolumeRow): RunnerClient {
    const client = runnerId === null ? undefined : runners.client(runnerId)
    if (client === undefined) throw new NobodyError('the runner is not connected')
    return client
  }

  async function begin(row: VolumeRow): Promise<VolumeOutcome> {
    if (row.state === 'pending_delete') return { event: 'deletion_begun' }
    const runnerId = row.runnerId ?? (await options.pickRunner())
    if (runnerId === undefined) throw new NobodyError('no runner is connected')
    return { event: 'creation_begun', runnerId }
  }

  async function take(row: VolumeRow, signal: AbortSignal): Promise<VolumeOutcome> {
    switch (volumeSteps[row.state]) {
      case 'create':
        await clientOf(row).volumes.make(row.id, {}, signal)
        return { event: 'created' }
      case 'delete':
        // A volume without a runner was never made anywhere.
        if (row.runnerId !== null) await clientOf(row).volumes.remove(row.id, signal)
        return { event: 'deleted' }
      case 'begin':
      case 'none':
        return await begin(row)
    }
  }

  const work: RowWork<VolumeState, VolumeRow, VolumeOutcome> = {
    what: 'volume',
    leases: createRowLeases({ db: options.database.db, table: volumes, due }),
    read: (id, owner) => store.readLeased(id, owner),
    isDue: (state) => volumeSteps[state] !== 'none',
    leftMs: () => STEP_MS,
    take: (row, { signal }) => take(row, signal),
    record: async (id, outcome, owner) => (await store.change({ id, leaseOwner: owner, ...outcome }))?.row,
    verdictOn: (error) => (error instanceof NobodyError ? 'away' : verdictOn(error)),
    giveUp: (row, error) =>
      // A deletion is never given up: its runner may come back.
      row.state === 'deleting' || row.state === 'pending_delete'
        ? undefined
        : { event: 'failed', reason: reasonOf(error) },
  }
  return createRowReconciler({ work, runners, changes, log, limits })
}

function reasonOf(error: unknown): string {
  if (error instanceof RunnerCallError && error.status < 500) return error.message
  return 'Its runner could not make it'
}
