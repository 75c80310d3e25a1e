import { randomUUID } from 'node:crypto'
import type { RunnerEvent, RunnerInfo, RunnerSnapshot, SandboxStatus } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import type { RunnerClient } from './runner-client.ts'
import { createRunnerClient, welcomeRunner } from './runner-client.ts'
import { compareRunner } from './runner-comparison.ts'
import type { Connection, RunnerStore } from './runner-store.ts'

/**
 * The silence after which a runner's link is closed and it takes no new sandboxes, in milliseconds. A runner says every 10 s
 * that it is alive.
 */
export const SILENCE_LIMIT_MS = 35_000

/** How often a runner with other events is recorded as heard of, in milliseconds: what says that it is alive waits behind them. */
const SEEN_INTERVAL_MS = 10_000

/** Knows which sandboxes a runner should have. */
export interface RunnerObserver {
  /** Compares the sandboxes of a runner that has just connected with those that it should have. */
  compare(runner: ConnectedRunner, statuses: SandboxStatus[]): Promise<void>
  /** Corrects the rows that were recorded as lost during the comparison; from now on the runner is not lost. */
  confirm(runner: ConnectedRunner, statuses: SandboxStatus[]): Promise<void>
  /** Takes note of a sandbox that changed by itself. */
  changed(runner: ConnectedRunner, status: SandboxStatus): Promise<void>
  /** The observer of the runner's snapshots; absent if they are not followed. */
  readonly holdings?: HoldingsObserver
}

/** Knows which snapshots runners have. */
export interface HoldingsObserver {
  /** Records which snapshots a runner has that has just connected. */
  compareSnapshots(runner: ConnectedRunner, snapshots: RunnerSnapshot[]): Promise<void>
  snapshotChanged(runner: ConnectedRunner, snapshot: RunnerSnapshot): Promise<void>
}

export interface ConnectedRunner {
  readonly id: string
  readonly name: string
  /** The id of the connection, which the runner's row has while this connection speaks for the runner. */
  readonly connectionId: string
  readonly client: RunnerClient
  readonly peer: TunnelPeer
}

export interface SessionOptions {
  runner: { id: string; name: string }
  peer: TunnelPeer
  store: RunnerStore
  observer: RunnerObserver
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** Runs once the runner is compared and known to placement: it may be given work. */
  onReady: (runner: ConnectedRunner, info: RunnerInfo) => void
}

/**
 * Serves one connection of a runner, from its comparison to its end. Resolves when the link has ended, which it does when
 * anything in here fails: the runner then connects again and is compared again.
 */
export async function runSession(options: SessionOptions): Promise<void> {
  const { runner, peer, store, log, now } = options
  const connectionId = randomUUID()
  const connected: ConnectedRunner = { ...runner, connectionId, peer, client: createRunnerClient(peer) }
  const connection = (): Connection => ({ runnerId: runner.id, connectionId, at: new Date(now()) })
  try {
    if (!(await store.claim(connection()))) throw new Error('the runner was removed')
    // The events are opened first, so that none is missed between the list and them.
    const events = await connected.client.events()
    const { observer } = options
    options.onReady(connected, await compareRunner({ runner: connected, connection, store, observer, log }))
    await welcomeRunner(peer)
    await follow(events, {
      ...{ peer, now },
      async see() {
        if (!(await store.setSeen(connection()))) peer.close('another connection speaks for this runner, or none may')
      },
      async handle(event) {
        if (event.type === 'status') await observer.changed(connected, event.status)
        else if (event.type === 'snapshot') await observer.holdings?.snapshotChanged(connected, event.snapshot)
      },
    })
  } catch (error) {
    // Every session ends with an error when its link ends, which is no failure.
    if (!peer.closed) log.warn({ err: error, runner: runner.name }, 'the session of a runner failed')
  } finally {
    peer.close('the session is over')
    await store.setGone(connection())
  }
}

interface Following extends Pick<SessionOptions, 'peer' | 'now'> {
  /** Records that the runner is heard of. */
  see: () => Promise<void>
  handle: (event: RunnerEvent) => Promise<void>
}

/**
 * Handles events one by one, while the stream waits, until the link ends. L1: the link ends when the runner was not recorded as
 * heard of for too long, since it may be lost by then, which its next comparison undoes.
 */
async function follow(events: AsyncIterable<RunnerEvent>, { peer, now, see, handle }: Following): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  let seenAt = now()
  const watch = () => {
    clearTimeout(timer)
    timer = setTimeout(() => peer.close('nothing was heard for too long'), SILENCE_LIMIT_MS)
  }
  watch()
  try {
    for await (const event of events) {
      if (event.type === 'alive' || now() - seenAt >= SEEN_INTERVAL_MS) {
        await see()
        seenAt = now()
        watch()
      }
      await handle(event)
    }
  } finally {
    clearTimeout(timer)
  }
}
