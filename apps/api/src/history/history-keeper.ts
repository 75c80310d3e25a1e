import type { Logger } from '@atoll/service'
import type { RecurringWork } from '../recurring-work.ts'
import { createRecurringWork } from '../recurring-work.ts'
import type { History, HistoryStore } from './history-store.ts'
import { histories } from './history-store.ts'

const PASS_INTERVAL_MS = 10 * 60 * 1_000
/** The most rows deleted in one transaction. */
const BATCH_ROWS = 1_000
/** The most batches of each kind in one pass, so that it ends: 300,000 rows an hour. */
const BATCHES_PER_PASS = 50
const DAY_MS = 24 * 60 * 60 * 1_000

export interface HistoryKeeperOptions {
  store: HistoryStore
  /** Days for which finished things are kept; 0: for ever. */
  days: number
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Deletes rows of destroyed sandboxes, and events of all kinds, when they are old enough. */
export interface HistoryKeeper extends RecurringWork {
  /** Deletes the rows that are old enough, up to the limit of one pass. Any number of replicas may do so at once. */
  pass(signal?: AbortSignal): Promise<void>
}

/** Creates the keeper. Disposing ends the pass under way after its batch. */
export function createHistoryKeeper({ store, days, log, now }: HistoryKeeperOptions): HistoryKeeper {
  async function forget(history: History, before: Date, signal: AbortSignal | undefined): Promise<void> {
    let rows = 0
    for (let batch = 0; batch < BATCHES_PER_PASS && signal?.aborted !== true; batch += 1) {
      const forgotten = await store.forget(history, before, BATCH_ROWS)
      rows += forgotten
      if (forgotten < BATCH_ROWS) break
    }
    if (rows > 0) log.info({ history, rows, before }, 'old history was forgotten')
  }

  async function pass(signal?: AbortSignal): Promise<void> {
    if (days === 0) return
    const before = new Date(now() - days * DAY_MS)
    for (const history of histories) await forget(history, before, signal)
  }
  return { pass, ...createRecurringWork({ name: 'forgetting history', everyMs: PASS_INTERVAL_MS, work: pass, log }) }
}
