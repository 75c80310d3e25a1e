import type { RunnerInfo, SandboxStatus } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { createRecurringWork } from '../recurring-work.ts'
import type { ConnectedRunner, RunnerObserver } from './runner-session.ts'
import type { Connection, RunnerStore } from './runner-store.ts'

/** How often a runner that is being compared is recorded as heard of, in milliseconds. */
const HEARD_INTERVAL_MS = 10_000

export interface ComparisonOptions {
  runner: ConnectedRunner
  /** Returns the connection that speaks for the runner, with the time of now. */
  connection: () => Connection
  store: Pick<RunnerStore, 'setHeard' | 'setInfo'>
  observer: RunnerObserver
  log: Logger
  heardEveryMs?: number
}

/**
 * Compares the sandboxes and snapshots of a runner with the rows, and makes the runner a candidate. L1: the runner is heard of
 * all the while, however long that takes. Throws as the runner's client and the observer do.
 */
export async function compareRunner(options: ComparisonOptions): Promise<RunnerInfo> {
  const { runner, connection, store, observer } = options
  const info = await runner.client.info()
  const statuses = await runner.client.list()
  await compare(options, statuses)
  await store.setInfo(connection(), info)
  await observer.confirm(runner, statuses)
  return info
}

async function compare(options: ComparisonOptions, statuses: SandboxStatus[]): Promise<void> {
  await using hearing = keepHeard(options)
  hearing.start()
  const { runner, observer } = options
  await observer.compare(runner, statuses)
  const { holdings } = observer
  if (holdings !== undefined) await holdings.compareSnapshots(runner, await runner.client.snapshots.list())
}

function keepHeard({ runner, connection, store, log, heardEveryMs = HEARD_INTERVAL_MS }: ComparisonOptions) {
  return createRecurringWork({
    name: 'noting that a runner is heard of',
    everyMs: heardEveryMs,
    async work() {
      if (!(await store.setHeard(connection()))) runner.peer.close('another connection speaks for this runner')
    },
    log,
  })
}
