import type { SandboxCommand } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { SandboxActivity } from '../../toolbox/sandbox-activity.ts'
import { eachOf } from '../each-of.ts'
import type { SandboxChanges } from '../sandbox-changes.ts'
import type { SandboxStore } from '../sandbox-store.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { stopEvent } from '../stop-event.ts'
import { createDueLooks } from './due-looks.ts'
import type { Timer, TimerStore } from './timer-store.ts'
import { isDue, timers } from './timer-store.ts'

/** Sandboxes that one query answers with; a pass goes on until none are left. */
const BATCH_SIZE = 200

/** Changes made side by side, each of which takes a database connection for some milliseconds. */
const MAX_CONCURRENT = 4

export interface SandboxTimersOptions {
  timers: TimerStore
  store: Pick<SandboxStore, 'change'>
  changes: Pick<SandboxChanges, 'subscribe'>
  /** What is used here, written down or not. */
  activity: Pick<SandboxActivity, 'flush' | 'isUsed'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Stops, archives and deletes sandboxes whose time has come (§6). */
export interface SandboxTimers extends AsyncDisposable {
  /** From now on acts when something is due: at most a second late, or ten where only another replica heard of a change. */
  start(): void
  /** A setting has changed: what is due by it is done at once. */
  wake(): void
  /**
   * Does all that is due now. Any number of replicas may do so at once: each row is looked at again under its lock, with
   * the settings and the activity it has then.
   */
  pass(): Promise<void>
}

/** Disposing ends the pass under way. */
export function createSandboxTimers(options: SandboxTimersOptions): SandboxTimers {
  const { store, activity, log, now } = options
  let closed = false

  async function act(id: string, timer: Timer): Promise<boolean> {
    const event = (row: SandboxRow) => {
      if (!isDue(row, timer, now())) return undefined
      // It may have been used since the row was written, and even since it was locked.
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
      // One that cannot be changed must not keep all the others.
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
      // Where nothing changed, asking again would find the same.
      if (ids.length < BATCH_SIZE || changes === 0) return
    }
  }

  async function pass(): Promise<void> {
    const isWritten = await activity.flush()
    // By what is written down something in use would look unused.
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
  // What ends by itself may have to go at once.
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
