import type { SandboxCommand } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { eachOf } from '../../reconciliation/each-of.ts'
import type { SandboxActivity } from '../../toolbox/sandbox-activity.ts'
import type { SandboxChanges } from '../sandbox-changes.ts'
import type { SandboxStore } from '../sandbox-store.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { stopEvent } from '../stop-event.ts'
import { createDueLooks } from './due-looks.ts'
import type { Timer, TimerStore } from './timer-store.ts'
import { isDue, timers } from './timer-store.ts'

/** The most sandboxes that one query returns; a pass goes on until none are left. */
const BATCH_SIZE = 200

/** The most changes at the same time, each of which takes a database connection for some milliseconds. */
const MAX_CONCURRENT = 4

export interface SandboxTimersOptions {
  timers: TimerStore
  store: Pick<SandboxStore, 'change'>
  changes: Pick<SandboxChanges, 'subscribe'>
  /** The uses of sandboxes that this replica saw, written or not. */
  activity: Pick<SandboxActivity, 'flush' | 'isUsed'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Stops, archives and deletes sandboxes for which a timer is due (§6). */
export interface SandboxTimers extends AsyncDisposable {
  /** Begins to act when a timer is due: at most a second late, or ten seconds where only another replica heard of a change. */
  start(): void
  /** Acts at once on timers that are due by a changed setting. */
  wake(): void
  /**
   * Acts on every timer that is due now. Any number of replicas may do so at once: each row is looked at again under its lock,
   * with the settings and the activity it has then.
   */
  pass(): Promise<void>
}

/** Disposing cuts the pass under way short. */
export function createSandboxTimers(options: SandboxTimersOptions): SandboxTimers {
  const { store, activity, log, now } = options
  let closed = false

  async function act(id: string, timer: Timer): Promise<boolean> {
    const event = (row: SandboxRow) => {
      if (!isDue(row, timer, now())) return undefined
      // The sandbox may have been used since the row was written, and even since it was locked.
      return timer === 'autoStop' && activity.isUsed(id) ? undefined : commandOf(timer, row)
    }
    const result = await store.change({ id, event, actor: { kind: 'reconciler' }, reason: reasons[timer] })
    if (result?.outcome.kind !== 'changed') return false
    log.info({ sandboxId: id, timer, from: result.outcome.from, to: result.outcome.to }, 'a timer was due')
    return true
  }

  async function actSafely(id: string, timer: Timer): Promise<boolean> {
    try {
      return await act(id, timer)
    } catch (error) {
      // A sandbox that cannot be changed must not hold up the others.
      log.error({ err: error, sandboxId: id, timer }, 'a timer was due and could not act')
      return false
    }
  }

  async function passOf(timer: Timer): Promise<void> {
    while (!closed) {
      const ids = await options.timers.due(timer, new Date(now()), BATCH_SIZE)
      let changes = 0
      await eachOf(ids, MAX_CONCURRENT, async (id) => {
        if (!closed && (await actSafely(id, timer))) changes += 1
      })
      // If nothing changed, another query would return the same rows.
      if (ids.length < BATCH_SIZE || changes === 0) return
    }
  }

  async function pass(): Promise<void> {
    const isWritten = await activity.flush()
    // While uses cannot be written, a used sandbox would look unused.
    for (const timer of timers) if (timer !== 'autoStop' || isWritten) await passOf(timer)
  }

  const looks = createDueLooks({
    async look() {
      await pass()
      return await options.timers.next(new Date(now()))
    },
    log,
    now,
  })
  // A sandbox that stops by itself may have to be deleted at once.
  const unsubscribe = options.changes.subscribe((change) => {
    if (change === 'all' || (change.state === 'stopped' && change.desiredState === 'stopped')) looks.wake()
  })
  return {
    pass,
    start: () => looks.start(),
    wake: () => looks.wake(),
    async [Symbol.asyncDispose]() {
      closed = true
      unsubscribe()
      await looks[Symbol.asyncDispose]()
    },
  }
}

const reasons: Readonly<Record<Timer, string>> = {
  autoDestroy: 'its time to live was over',
  autoDelete: 'stopped for its auto-delete interval',
  autoStop: 'not used for its auto-stop interval',
  autoArchive: 'stopped for its auto-archive interval',
}

function commandOf(timer: Timer, row: SandboxRow): SandboxCommand {
  switch (timer) {
    case 'autoDestroy':
    case 'autoDelete':
      return 'delete'
    case 'autoStop':
      return stopEvent(row)
    case 'autoArchive':
      return 'archive'
  }
}
