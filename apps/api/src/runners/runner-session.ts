import { randomUUID } from 'node:crypto'
import type { RunnerEvent, RunnerInfo, RunnerSnapshot, SandboxStatus } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { TunnelPeer } from '@atoll/tunnel'
import type { RunnerClient } from './runner-client.ts'
import { createRunnerClient, welcomeRunner } from './runner-client.ts'
import { compareRunner } from './runner-comparison.ts'
import type { Connection, RunnerStore } from './runner-store.ts'

/** A runner says that it is alive every 10 s; after this much silence it is taken for lost. In milliseconds. */
export const SILENCE_LIMIT_MS = 35_000

/** Who knows what sandboxes a runner should have. */
export interface RunnerObserver {
  /** Compares what a runner that has just connected really has with what it should have. */
  compare(runner: ConnectedRunner, statuses: SandboxStatus[]): Promise<void>
  /** Puts right what was written of a loss while it was compared; from now on the runner is not lost. */
  confirm(runner: ConnectedRunner, statuses: SandboxStatus[]): Promise<void>
  /** A sandbox changed though nobody asked. */
  changed(runner: ConnectedRunner, status: SandboxStatus): Promise<void>
  /** The same for what else it keeps; absent where nobody cares. */
  readonly holdings?: HoldingsObserver
}

/** Who knows what snapshots a runner should have. */
export interface HoldingsObserver {
  /** Writes down which snapshots a runner that has just connected has. */
  compareSnapshots(runner: ConnectedRunner, snapshots: RunnerSnapshot[]): Promise<void>
  snapshotChanged(runner: ConnectedRunner, snapshot: RunnerSnapshot): Promise<void>
}

export interface ConnectedRunner {
  readonly id: string
  readonly name: string
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
  /** The runner is compared, known to placement, and may be given work. */
  onReady: (runner: ConnectedRunner, info: RunnerInfo) => void
}

/**
 * One connection of a runner, from its comparison to its end. Resolves when the link is over, which it is when
 * anything in here fails: the runner then connects again and is compared again.
 */
export async function runSession(options: SessionOptions): Promise<void> {
  const { runner, peer, store, log, now } = options
  const connected: ConnectedRunner = { ...runner, peer, client: createRunnerClient(peer) }
  const connectionId = randomUUID()
  const connection = (): Connection => ({ runnerId: runner.id, connectionId, at: new Date(now()) })
  try {
    if (!(await store.claim(connection()))) throw new Error('the runner was removed')
    // Events come first, so that nothing is missed between the list and them.
    const events = await connected.client.events()
    const { observer } = options
    options.onReady(connected, await compareRunner({ runner: connected, connection, store, observer, log }))
    await welcomeRunner(peer)
    await follow(events, peer, async (event) => {
      if (event.type === 'status') await observer.changed(connected, event.status)
      else if (event.type === 'snapshot') await observer.holdings?.snapshotChanged(connected, event.snapshot)
      else if (!(await store.setSeen(connection())))
        peer.close('another connection speaks for this runner, or none may')
    })
  } catch (error) {
    // A link that ends is how every session ends.
    if (!peer.closed) log.warn({ err: error, runner: runner.name }, 'the session of a runner failed')
  } finally {
    peer.close('the session is over')
    await store.setGone(connection())
  }
}

/** Handles events one by one, the stream waiting meanwhile, until the link ends or falls silent. */
async function follow(
  events: AsyncIterable<RunnerEvent>,
  peer: TunnelPeer,
  handle: (event: RunnerEvent) => Promise<void>,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const watch = () => {
    clearTimeout(timer)
    timer = setTimeout(() => peer.close('nothing was heard for too long'), SILENCE_LIMIT_MS)
  }
  watch()
  try {
    for await (const event of events) {
      watch()
      await handle(event)
    }
  } finally {
    clearTimeout(timer)
  }
}
