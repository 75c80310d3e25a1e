import type { SandboxReport } from '@atoll/protocol'
import { SNAPSHOT_PULL_LIMIT_MS } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { SnapshotChanges } from '../snapshots/snapshot-changes.ts'
import type { SnapshotTransfers } from '../snapshots/snapshot-transfers.ts'
import type { SandboxSnapshotStore, WaitingSandbox } from './sandbox-snapshot-store.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** How often the follower looks for sandboxes that wait, in milliseconds. */
const POLL_MS = 1_000

export interface SnapshotFollowerOptions {
  store: Pick<SandboxStore, 'change'>
  links: Pick<SandboxSnapshotStore, 'waiting' | 'endSnapshots'>
  transfers: SnapshotTransfers
  runners: { readyIds(): string[] }
  snapshotChanges: SnapshotChanges
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  pollMs?: number | undefined
}

/** Reports to sandboxes what has become of the snapshots that they wait for. Works from `start` until disposed. */
export interface SnapshotFollower extends AsyncDisposable {
  start(): void
  /** Looks for sandboxes that wait now. */
  wake(): void
}

export function createSnapshotFollower(options: SnapshotFollowerOptions): SnapshotFollower {
  const { store, links, transfers, runners, log, now } = options
  let running: Promise<void> | undefined
  let again = false
  let closed = false
  let timer: NodeJS.Timeout | undefined
  let unsubscribe: () => void = () => undefined

  async function follow(waiting: WaitingSandbox): Promise<void> {
    const news = newsFor(waiting)
    if (news === undefined) return
    const { event, ...rest } = news
    // The sandbox may have been moved since it was read (L4), and the news is of the runner that it left.
    const eventFor = (row: SandboxRow) => (isSame(row, waiting.sandbox) ? event : undefined)
    await store.change({ id: waiting.sandbox.id, actor: { kind: 'reconciler' }, event: eventFor, ...rest })
  }

  function newsFor(waiting: WaitingSandbox): News | undefined {
    const { sandbox, snapshot } = waiting
    if (sandbox.state !== 'pulling_snapshot') return newsOfBuild(waiting)
    if (snapshot.state === 'removing' || snapshot.state === 'removed') return { event: 'failed', reason: DELETED }
    if (waiting.isHere) return { event: 'pulled' }
    if (now() - waitingSince(waiting) > SNAPSHOT_PULL_LIMIT_MS) return { event: 'failed', reason: TOO_LONG }
    // A replica that can call the runner brings the snapshot.
    if (sandbox.runnerId === null || !runners.readyIds().includes(sandbox.runnerId)) return undefined
    const transfer = transfers.bring(sandbox.runnerId, snapshot)
    if (transfer.kind !== 'passing' && transfer.kind !== 'permanent') return undefined
    return { event: 'failed', reason: `The snapshot could not be brought to its runner: ${transfer.reason}` }
  }

  async function look(): Promise<void> {
    await links.endSnapshots()
    for (const waiting of await links.waiting()) await follow(waiting)
  }

  async function run(): Promise<void> {
    do {
      again = false
      await look()
    } while (again && !closed)
  }

  function wake(): void {
    again = true
    if (closed) return
    running ??= run()
      .catch((error: unknown) => log.error({ err: error }, 'following snapshots failed; it is tried again'))
      .finally(() => {
        running = undefined
      })
  }

  return {
    start() {
      unsubscribe = options.snapshotChanges.subscribe(wake)
      timer = setInterval(wake, options.pollMs ?? POLL_MS)
    },
    wake,
    async [Symbol.asyncDispose]() {
      closed = true
      clearInterval(timer)
      unsubscribe()
      await running
    },
  }
}

const DELETED = 'The snapshot was deleted'
const TOO_LONG = 'The snapshot was not brought to its runner within 15 minutes'

interface News {
  event: SandboxReport
  reason?: string
}

/** L4: a sandbox that was moved waits anew. In milliseconds since the epoch. */
function waitingSince({ sandbox, movedAt }: WaitingSandbox): number {
  return Math.max(sandbox.changedAt.getTime(), movedAt?.getTime() ?? 0)
}

function isSame({ state, runnerId, changedAt }: SandboxRow, seen: WaitingSandbox['sandbox']): boolean {
  return state === seen.state && runnerId === seen.runnerId && changedAt.getTime() === seen.changedAt.getTime()
}

/** Returns the report for a sandbox that waits for a build. */
function newsOfBuild({ sandbox, snapshot }: WaitingSandbox): News | undefined {
  switch (snapshot.state) {
    case 'build_pending':
      return undefined
    case 'active':
    case 'inactive':
      return { event: 'built' }
    case 'error':
    case 'build_failed':
      return { event: 'buildFailed', reason: snapshot.errorReason ?? 'The build failed' }
    case 'removing':
    case 'removed':
      return { event: 'buildFailed', reason: DELETED }
    default:
      return sandbox.state === 'pending_build' ? { event: 'buildBegun' } : undefined
  }
}
