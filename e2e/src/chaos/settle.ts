import type { RunningAtoll } from '@atoll/dev-env'
import type { BackupRow, SystemRows } from './system-rows.ts'
import { readRows } from './system-rows.ts'

const LOOK_EVERY_MS = 250
const HEALTH_DEADLINE_MS = 5_000

export interface SettleOptions {
  /** In milliseconds. */
  withinMs: number
  /** Runners that shall be connected. */
  runners: number
  look: () => Promise<void>
}

/** Waits until nothing is under way any more; throws, saying what still is, when that takes longer than `withinMs`. */
export async function settle(atoll: RunningAtoll, options: SettleOptions): Promise<void> {
  const giveUpAt = performance.now() + options.withinMs
  for (;;) {
    await options.look()
    const missing = (await whatIsAway(atoll, options.runners)) ?? (await whatIsRestless(atoll))
    if (missing === undefined) return
    if (performance.now() > giveUpAt) throw new Error(`not settled after ${options.withinMs / 1000} s: ${missing}`)
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
  }
}

/** Which part of the system does not serve; undefined when it does with so many runners, or more. */
export async function whatIsAway({ url }: RunningAtoll, runners: number): Promise<string | undefined> {
  try {
    const health = await fetch(`${url}/api/health`, { signal: AbortSignal.timeout(HEALTH_DEADLINE_MS) })
    if (!health.ok) return `the API answers ${health.status}`
    const connected = await readGauge(url, 'atoll_runners_connected')
    return connected >= runners ? undefined : `${connected} runners are connected of ${runners}`
  } catch (error) {
    return `the API: ${wordsOf(error)}`
  }
}

async function whatIsRestless({ url, dataDir }: RunningAtoll): Promise<string | undefined> {
  try {
    const rows = await readRows(dataDir)
    const started = rows.sandboxes.filter(({ state }) => state === 'started').length
    const connected = await readGauge(url, 'atoll_toolboxes_connected')
    // One that lost its tunnel dials again within ten seconds.
    const away = connected === started ? undefined : `${connected} toolboxes are connected of ${started} that run`
    return restlessIn(rows) ?? away
  } catch (error) {
    return `the database: ${wordsOf(error)}`
  }
}

async function readGauge(url: string, name: string): Promise<number> {
  const metrics = await fetch(`${url}/metrics`, { signal: AbortSignal.timeout(HEALTH_DEADLINE_MS) })
  return Number(new RegExp(`^${name} (\\d+)$`, 'm').exec(await metrics.text())?.[1])
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? `${error.message} ${error.cause ?? ''}`.trim() : String(error)
}

/** Rows that something is still to be done for. */
function restlessIn({ sandboxes, backups, leftovers }: SystemRows): string | undefined {
  const restless = [
    ...sandboxes
      .filter(
        ({ state, desiredState, isLeased }) => (state !== desiredState && !isGivenUp(state, desiredState)) || isLeased,
      )
      .map(({ name, id, state, desiredState }) => `${name} (${id}) is ${state} and shall be ${desiredState}`),
    ...sandboxes
      .filter(({ isWarm, state, claimPending }) => claimPending || (isWarm && state !== 'destroyed'))
      .map(
        ({ id, state, isWarm }) =>
          `${id}, which is ${state}, ${isWarm ? 'waits in a pool' : 'was not told that it was taken over'}`,
      ),
    ...sandboxes.filter(({ lost }) => lost).map(({ name, id }) => `${name} (${id}) is on a lost runner`),
    ...leftovers.map(({ sandboxId, runnerId }) => `runner ${runnerId} may still have ${sandboxId}`),
    ...backups.filter((backup) => !isAtRest(backup)).map(({ id, state }) => `backup ${id} is ${state}`),
  ]
  return restless.length === 0 ? undefined : restless.join('; ')
}

/** What a replica that died was writing is taken away after its lease. */
function isAtRest({ state, isLeased, isPaused }: BackupRow): boolean {
  return state === 'kept' || (state === 'discarded' && isLeased) || (state === 'writing' && isPaused)
}

function isGivenUp(state: string, desiredState: string): boolean {
  return state === 'error' && desiredState !== 'destroyed'
}
