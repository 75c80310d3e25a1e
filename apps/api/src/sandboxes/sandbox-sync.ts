import type { SandboxState, SandboxStatus } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Database, Queryable } from '../database/database.ts'
import { isUuid } from '../database/uuid.ts'
import { eachOf } from '../reconciliation/each-of.ts'
import { RunnerCallError } from '../runners/runner-answer.ts'
import type { ConnectedRunner, RunnerObserver } from '../runners/runner-session.ts'
import { checkSpeaks } from '../runners/runner-store.ts'
import { clearFormer, formerlyOn } from './runner-loss/former-placements.ts'
import type { SandboxStore } from './sandbox-store.ts'
import type { SandboxRow } from './sandbox-table.ts'

const NOT_FOUND = 'not found on its runner'
const RETURNED = 'its runner has returned'

/** The most sandboxes of one runner that are settled at the same time. */
const MAX_CONCURRENT = 4

export interface SandboxSyncOptions {
  database: Pick<Database, 'db'>
  store: Pick<SandboxStore, 'change' | 'findMany' | 'startedOn' | 'lostOn'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Makes rows and runners agree where no reconciliation is due. A sandbox that ended by itself is stopped in its row; one that
 * runs against its row is stopped on its runner. One that was destroyed, or is elsewhere by now, is deleted there (R9), or
 * kept stopped until its files are restored elsewhere (L7). A sandbox that was lost with its runner goes on (L3).
 */
export function createSandboxSync({ database, store, log, now }: SandboxSyncOptions): RunnerObserver {
  const { db } = database

  async function ended(runner: ConnectedRunner, id: string, reason: string): Promise<void> {
    const result = await report(store, runner, { id, event: 'exited', reason })
    if (result?.outcome.kind === 'changed') log.info({ sandboxId: id, reason }, 'a sandbox ended by itself')
  }

  /**
   * Reports `reached` for the lost sandboxes that the runner has, and returns their number. From then on they are not taken
   * elsewhere, so that rows that are read afterwards stay true. Sandboxes that the runner does not have stay lost (L3).
   */
  async function reach(runner: ConnectedRunner, statuses: readonly SandboxStatus[]): Promise<number> {
    const has = new Set(statuses.map(({ sandboxId }) => sandboxId))
    const lost = await store.lostOn(runner.id)
    const ids = lost.filter((id) => has.has(id))
    await eachOf(ids, MAX_CONCURRENT, async (id) => {
      await report(store, runner, { id, event: 'reached', reason: RETURNED })
    })
    const counts = { sandboxes: ids.length, missing: lost.length - ids.length }
    if (lost.length > 0) log.warn({ runner: runner.name, ...counts }, 'a runner that was lost has returned')
    return ids.length
  }

  async function readFound(runner: ConnectedRunner, statuses: readonly SandboxStatus[]): Promise<Found[]> {
    const ids = statuses.map((status) => status.sandboxId).filter(isUuid)
    const rows = new Map((await store.findMany(ids)).map((row) => [row.id, row]))
    const former = await formerlyOn(db, runner.id, ids)
    return statuses.map((status) => {
      const row = rows.get(status.sandboxId)
      const place = row === undefined ? 'unknown' : placeOf(runner, row, former.get(row.id))
      return { status, row, place }
    })
  }

  /** Settles a sandbox on the runner against its row. Returns true if it is deleted there. */
  async function settle(runner: ConnectedRunner, { status, row, place }: Found): Promise<boolean> {
    if (row === undefined || place === 'unknown') {
      log.warn({ sandboxId: status.sandboxId, runner: runner.name }, 'a runner has a sandbox that is not its own')
    } else if (place === 'elsewhere') {
      await runner.client.remove(row.id)
      return true
    } else if (status.state === 'running' && (place === 'left' || restful.has(shownState(row)))) {
      await runner.client.stop(row.id, { graceMs: 0 })
    }
    return false
  }

  /** Settles all and returns the ids of the deleted ones. */
  async function settleAll(runner: ConnectedRunner, found: readonly Found[]): Promise<Set<string>> {
    const deleted = new Set<string>()
    const settleSafely = async (one: Found) => {
      const id = one.status.sandboxId
      try {
        if (await settle(runner, one)) deleted.add(id)
      } catch (error) {
        // A sandbox that cannot be settled must not keep the others from their runner.
        log.error({ err: error, sandboxId: id }, 'a sandbox could not be settled on its runner')
      }
    }
    // L7: sandboxes that are elsewhere end before anything else.
    const going = found.filter(({ place }) => place === 'elsewhere' || place === 'left')
    const staying = found.filter((one) => !going.includes(one))
    for (const some of [going, staying]) await eachOf(some, MAX_CONCURRENT, settleSafely)
    return deleted
  }

  async function agree(runner: ConnectedRunner, statuses: readonly SandboxStatus[]): Promise<void> {
    const found = await readFound(runner, statuses)
    const deleted = await settleAll(runner, found)
    const left = statuses.map(({ sandboxId }) => sandboxId).filter((id) => isUuid(id) && !deleted.has(id))
    await clearFormer(db, runner.id, { left, kept: keptOf(found), at: new Date(now()) })
    const byStatus = new Map(statuses.map((status) => [status.sandboxId, status]))
    for (const id of await store.startedOn(runner.id)) {
      const status = byStatus.get(id)
      if (status?.state === 'running') continue
      await ended(runner, id, status?.reason ?? (status === undefined ? NOT_FOUND : 'ended while its runner was away'))
    }
  }

  return {
    async compare(runner, statuses) {
      await reach(runner, statuses)
      await agree(runner, statuses)
    },

    async confirm(runner, statuses) {
      // L3: while it could not be recorded that the runner was heard of, sandboxes were lost again and settled as lost.
      if ((await reach(runner, statuses)) > 0) await agree(runner, statuses)
    },

    async changed(runner, { sandboxId, reason }) {
      if (!isUuid(sandboxId)) return
      // An event may be older than the newest start, so only the present status counts.
      const status = await currentStatus(runner, sandboxId)
      if (status.state === 'stopped') await ended(runner, sandboxId, status.reason ?? reason ?? 'ended by itself')
    },
  }
}

/**
 * The place of a runner's copy of a sandbox, compared with the row. `elsewhere`: the copy is deleted (R9). `left`: the sandbox
 * is to be restored from the object store, and its earlier copy stays until then (L7).
 */
type Place = 'here' | 'elsewhere' | 'left' | 'unknown'

/** A sandbox on a runner, and its row. */
interface Found {
  status: SandboxStatus
  row: SandboxRow | undefined
  place: Place
}

/** The ids of what stays until it is restored elsewhere. */
function keptOf(found: readonly Found[]): string[] {
  return found.flatMap(({ row, place }) => (row !== undefined && place === 'left' ? [row.id] : []))
}

function placeOf(runner: ConnectedRunner, row: SandboxRow, former: { isElsewhere: boolean } | undefined): Place {
  if (row.runnerId === runner.id) return shownState(row) === 'destroyed' ? 'elsewhere' : 'here'
  if (former === undefined) return row.runnerId === null ? 'elsewhere' : 'unknown'
  return former.isElsewhere ? 'elsewhere' : 'left'
}

interface Report {
  id: string
  event: 'exited' | 'reached'
  reason: string
}

/**
 * Records what a runner says of a sandbox (L3). Throws if another connection speaks for the runner by now: what this one said may
 * be older than the newest start.
 */
function report(store: Pick<SandboxStore, 'change'>, { id: runnerId, connectionId }: ConnectedRunner, said: Report) {
  const before = (tx: Queryable) => checkSpeaks(tx, { runnerId, connectionId })
  return store.change({ ...said, actor: { kind: 'runner' }, runnerId, before })
}

/** The shown states of sandboxes that do not run. */
const restful: ReadonlySet<SandboxState> = new Set(['stopped', 'error'])

async function currentStatus(runner: ConnectedRunner, sandboxId: string): Promise<SandboxStatus> {
  try {
    return await runner.client.status(sandboxId)
  } catch (error) {
    if (!(error instanceof RunnerCallError) || error.status !== 404) throw error
    return { sandboxId, state: 'stopped', reason: NOT_FOUND }
  }
}
