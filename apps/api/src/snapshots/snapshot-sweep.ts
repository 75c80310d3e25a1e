import { AppError, SNAPSHOT_UNUSED_MS } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { RunnerClient } from '../runners/runner-client.ts'
import type { SnapshotChanges } from './snapshot-changes.ts'
import { limitOf, SNAPSHOT_UNDER_WAY, tooLong } from './snapshot-limits.ts'
import type { SnapshotRunnerStore } from './snapshot-runner-store.ts'
import type { SnapshotStore } from './snapshot-store.ts'
import type { SnapshotRunnerRow } from './snapshot-table.ts'
import type { SnapshotWatch } from './snapshot-watch.ts'

/** The interval of the sweep, in milliseconds. */
const SWEEP_MS = 10_000

/** How long the holder of the lease has to give up a snapshot itself, in milliseconds. */
const GRACE_MS = 60_000

export interface SnapshotSweepOptions {
  store: Pick<SnapshotStore, 'change' | 'standing' | 'unused' | 'takeFromRemoved'>
  holdings: SnapshotRunnerStore
  runners: { readyIds(): string[]; client(runnerId: string): RunnerClient | undefined }
  changes: SnapshotChanges
  watch: SnapshotWatch
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  sweepMs?: number | undefined
}

/**
 * Removes deleted snapshots from runners, retires unused ones, takes those under way from removed runners (M7), and gives
 * up those that take too long. Works from `start` until disposed.
 */
export interface SnapshotSweep extends AsyncDisposable {
  start(): void
  /** Resolves when a sweep that begins now is over. */
  sweep(): Promise<void>
}

export function createSnapshotSweep(options: SnapshotSweepOptions): SnapshotSweep {
  const { store, holdings, runners, log } = options
  const closing = new AbortController()
  let running: Promise<void> | undefined
  let again = false
  let timer: NodeJS.Timeout | undefined
  let unsubscribe: () => void = () => undefined

  async function removeFrom({ id, ref, runnerId }: SnapshotRunnerRow): Promise<void> {
    try {
      await runners.client(runnerId)?.snapshots.remove(ref, closing.signal)
      await holdings.forget(id)
      options.watch.ring(runnerId, ref)
    } catch (error) {
      // A sandbox that was begun there just before keeps the snapshot; a later sweep removes it when that sandbox is
      // gone.
      const isInUse = error instanceof RunnerCallError && error.code === 'SNAPSHOT_IN_USE'
      if (!isInUse && !closing.signal.aborted) log.warn({ err: error, ref, runnerId }, 'a snapshot was not removed')
    }
  }

  async function retire(): Promise<void> {
    const before = new Date(options.now() - SNAPSHOT_UNUSED_MS)
    for (const { id, name } of await store.unused(before)) {
      await store.change({ id, event: name === null ? 'delete' : 'unused', reason: 'not used for long' })
    }
  }

  /**
   * Gives up snapshots that take too long. A lease holder does so itself, but while the runner is away no replica holds
   * the lease.
   */
  async function giveUp(): Promise<void> {
    for (const state of SNAPSHOT_UNDER_WAY) {
      const before = new Date(options.now() - limitOf(state) - GRACE_MS)
      for (const { id, changedAt } of await store.standing(state, before)) {
        await store.change({ id, event: 'failed', reason: tooLong(state), changedAt })
      }
    }
  }

  async function look(): Promise<void> {
    // A runner may have been chosen just as it was removed.
    await store.takeFromRemoved()
    await giveUp()
    await retire()
    for (const holding of await holdings.markUnneeded(runners.readyIds())) await removeFrom(holding)
    for (const id of await holdings.removable()) await store.change({ id, event: 'removed' })
  }

  async function run(): Promise<void> {
    do {
      again = false
      await look()
    } while (again && !closing.signal.aborted)
  }

  function sweep(): Promise<void> {
    if (closing.signal.aborted) return Promise.resolve()
    again = true
    running ??= run()
      .catch((error: unknown) => log.error({ err: error }, 'looking for snapshots to remove failed; it is tried again'))
      .finally(() => {
        running = undefined
      })
    return running
  }

  return {
    start() {
      unsubscribe = options.changes.subscribe((change) => {
        if (change === 'all' || change.state === 'removing') void sweep()
      })
      timer = setInterval(() => void sweep(), options.sweepMs ?? SWEEP_MS)
    },
    sweep,
    async [Symbol.asyncDispose]() {
      closing.abort(new AppError('SERVICE_UNAVAILABLE', 'The server is shutting down'))
      clearInterval(timer)
      unsubscribe()
      await running
    },
  }
}
