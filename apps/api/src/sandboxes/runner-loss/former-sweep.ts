import type { Logger } from '@atoll/service'
import type { Database } from '../../database/database.ts'
import type { RecurringWork } from '../../recurring-work.ts'
import { createRecurringWork } from '../../recurring-work.ts'
import type { RunnerService } from '../../runners/runner-service.ts'
import { removable, removeLeft } from './former-placements.ts'

/** How often runners are asked to remove sandboxes that are elsewhere, in milliseconds. */
const SWEEP_INTERVAL_MS = 60_000

/** The most sandboxes that one sweep removes on one runner. */
const BATCH_SIZE = 100

/** The deadline of a removal, in milliseconds: it holds a transaction open, which must not be idle for long. */
const REMOVAL_DEADLINE_MS = 5_000

export interface FormerSweepOptions {
  database: Pick<Database, 'db' | 'transaction'>
  runners: Pick<RunnerService, 'readyIds' | 'client'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Removes sandboxes that are elsewhere by now from their former runners (L7): those that could not be removed when the runner
 * returned, and those that were kept until their files were restored.
 */
export interface FormerSweep extends Pick<RecurringWork, 'start'>, AsyncDisposable {
  /** Does all removals that are due now; a failed one does not stop the others. */
  sweep(signal?: AbortSignal): Promise<void>
}

export function createFormerSweep({ database, runners, log, now }: FormerSweepOptions): FormerSweep {
  async function removeOn(runnerId: string, id: string, ending: AbortSignal | undefined): Promise<void> {
    const patience = AbortSignal.timeout(REMOVAL_DEADLINE_MS)
    const signal = ending === undefined ? patience : AbortSignal.any([patience, ending])
    try {
      await database.transaction((tx) =>
        removeLeft(tx, { id, runnerId, at: new Date(now()) }, async () => {
          const client = runners.client(runnerId)
          if (client === undefined) throw new Error('the runner has gone')
          await client.remove(id, signal)
        }),
      )
    } catch (error) {
      log.warn({ err: error, sandboxId: id, runnerId }, 'what is elsewhere by now could not be removed')
    }
  }

  async function sweep(ending?: AbortSignal): Promise<void> {
    for (const runnerId of runners.readyIds()) {
      for (const id of await removable(database.db, runnerId, BATCH_SIZE)) {
        if (ending?.aborted === true) return
        await removeOn(runnerId, id, ending)
      }
    }
  }

  const name = 'removing what is elsewhere by now'
  const rhythm = createRecurringWork({ name, everyMs: SWEEP_INTERVAL_MS, work: sweep, log })
  return {
    sweep,
    start: () => rhythm.start(),
    [Symbol.asyncDispose]: () => rhythm[Symbol.asyncDispose](),
  }
}
