import { setMaxListeners } from 'node:events'
import { createServer } from 'node:net'
import type { RunningAtoll } from '@atoll/dev-env'
import { findLeftovers, startAtoll } from '@atoll/dev-env'
import type { ApiClient } from './api-client.ts'
import { createApiClient, jsonOf } from './api-client.ts'
import { auditFiles } from './audit-files.ts'
import { auditHost } from './audit-host.ts'
import { auditAcknowledged, auditRows } from './audit-rows.ts'
import type { Chance } from './chance.ts'
import { createChance } from './chance.ts'
import type { DataDisk } from './data-disk.ts'
import { openDataDisk } from './data-disk.ts'
import { explain } from './explain.ts'
import { runFaults } from './faults.ts'
import type { Ledger } from './ledger.ts'
import { createLedger } from './ledger.ts'
import type { Operator } from './operator.ts'
import { createOperator } from './operator.ts'
import { pause } from './pause.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import { createSandboxCalls } from './sandbox-calls.ts'
import { settle, whatIsAway } from './settle.ts'
import { readRows } from './system-rows.ts'
import type { Tally } from './tally.ts'
import { createTally } from './tally.ts'
import type { Victims } from './victims.ts'
import { createVictims } from './victims.ts'
import { runWorker } from './worker.ts'

export interface ChaosOptions {
  seed: string
  workers: number
  stormMs: number
  /** How long a call may take beyond what is promised, in milliseconds: the faults' own time, and a busy machine. */
  slackMs: number
  /** How long the system may take to come to rest after the storm, in milliseconds. */
  settleMs: number
  /** Kinds of faults to leave it at; all, where it is not given. */
  faults?: readonly string[]
  /** The data folder's file system; a full one fills it. */
  diskGib: number
  /** Where the built apps are. */
  checkout: string
  /** Told what happens, line by line. */
  say: (line: string) => void
}

export interface ChaosReport {
  /** What must not be, a line each. */
  problems: readonly string[]
  /** The counts. */
  page: string
  /** What is known of the sandboxes that the problems name, a line each. */
  explanation: readonly string[]
}

/** Calls that must have done what was asked before a storm ends, and by how much it may become longer for that. */
const CALLS_PER_WORKER = 12
const MAX_STORM_FACTOR = 3
const ENOUGH_EVERY_MS = 200

/**
 * Starts a system, lets workers use it while faults hit it, and then compares what was acknowledged, what the rows say
 * and what is on the host; deletes everything, compares again, and stops it. Throws when no system can be started.
 */
export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const { say, seed } = options
  const tally = createTally(say)
  tally.fact('seed', seed)
  tally.fact('workers', options.workers)
  const disk = openDataDisk(options.diskGib)
  let explanation: string[] = []
  try {
    const atoll = await startAtoll({
      ...{ dataDir: disk.dataDir, checkout: options.checkout, env: { ATOLL_PORT: String(await freePort()) } },
    })
    const scene = createScene(options, { atoll, disk, tally })
    try {
      await storm(scene)
      await auditEverything(scene)
      await deleteEverything(scene)
      explanation = await explain(tally.problems, atoll.dataDir)
    } finally {
      disk.free()
      await endSystem(scene)
    }
  } finally {
    disk[Symbol.dispose]()
  }
  return { problems: tally.problems, page: tally.page(), explanation }
}

/** Everything that the parts of a run share. */
interface Scene {
  options: ChaosOptions
  atoll: RunningAtoll
  disk: DataDisk
  tally: Tally
  chance: Chance
  victims: Victims
  operator: Operator
  client: ApiClient
  ledger: Ledger
  calls: SandboxCalls
  /** From here on a call that fails is a problem. */
  isCalm: boolean
}

function createScene(options: ChaosOptions, { atoll, disk, tally }: Pick<Scene, 'atoll' | 'disk' | 'tally'>): Scene {
  const victims = createVictims(atoll)
  const { apiKey } = atoll
  const client = createApiClient({
    ...{ url: () => atoll.url, apiKey, tally, slackMs: options.slackMs, isCalm: () => scene.isCalm },
  })
  const ledger = createLedger()
  const scene: Scene = {
    ...{ options, atoll, disk, tally, victims, client, chance: createChance(options.seed) },
    operator: createOperator(atoll, { victims, say: options.say }),
    ledger,
    calls: createSandboxCalls({ client, ledger, tally }),
    isCalm: false,
  }
  return scene
}

async function storm(scene: Scene): Promise<void> {
  const { options, chance, victims, operator, ledger, tally, disk } = scene
  const { say } = options
  const canFork = await hasRoute(scene.client, '/sandbox/{sandboxId}/fork')
  const over = new AbortController()
  // One for each worker that pauses.
  setMaxListeners(0, over.signal)
  const operating = operate(operator, over.signal)
  const faults = runFaults({
    chance: chance.child('faults'),
    victims,
    disk,
    ledger,
    tally,
    say,
    only: options.faults,
    workers: options.workers,
    isServing: async () => (await whatIsAway(scene.atoll)) === undefined,
    over: over.signal,
  })
  const workers = Array.from({ length: options.workers }, (_, number) =>
    runWorker({ ...scene, number, canFork, chance: chance.child(`worker ${number}`), over: over.signal }),
  )
  await untilEnough(scene)
  over.abort()
  await Promise.all([faults, operating, ...workers])
  const made = ledger.sandboxes.filter(({ id }) => id !== undefined).length
  tally.fact('sandboxes made', made)
  if (made === 0) tally.problem('not one sandbox was made: the storm has shown nothing')
  tally.fact('operator starts', operator.restarts)
}

/** A machine that is busy gets more time, in which at least so much happens that the storm shows something. */
async function untilEnough({ options, tally }: Scene): Promise<void> {
  const { stormMs, workers } = options
  const begunAt = performance.now()
  const goesOn = (factor: number) => performance.now() - begunAt < factor * stormMs
  while (goesOn(1) || (tally.done < CALLS_PER_WORKER * workers && goesOn(MAX_STORM_FACTOR))) {
    await pause(ENOUGH_EVERY_MS, new AbortController().signal)
  }
}

async function operate(operator: Operator, over: AbortSignal): Promise<void> {
  while (!over.aborted) {
    await operator.look()
    await pause(500, over)
  }
}

async function auditEverything(scene: Scene): Promise<void> {
  const { tally, ledger, options } = scene
  await comeToRest(scene, 'settled after')
  scene.isCalm = true
  await compare(scene, 'after the storm')
  await auditFiles({ ...scene, withinMs: options.settleMs })
  for (const problem of auditAcknowledged(await readRows(scene.atoll.dataDir), ledger)) tally.problem(problem)
}

async function deleteEverything(scene: Scene): Promise<void> {
  const { calls, client, ledger } = scene
  const listed = await client.call('GET', '/sandbox', { operation: 'list', promised: 'quick' })
  const ids = listed.kind === 'ok' ? (JSON.parse(listed.bytes.toString()) as { id: string; name: string }[]) : []
  for (const { id, name } of ids) {
    const known = ledger.sandboxes.find((sandbox) => sandbox.name === name)
    if (known !== undefined) await calls.delete(Object.assign(known, { id }))
  }
  await comeToRest(scene, 'deleted after')
  await compare(scene, 'after everything was deleted')
}

async function comeToRest({ atoll, operator, options, tally }: Scene, fact: string): Promise<void> {
  const begunAt = performance.now()
  try {
    await settle(atoll, { withinMs: options.settleMs, look: operator.look })
  } catch (error) {
    tally.problem(error instanceof Error ? error.message : String(error))
  }
  tally.fact(fact, `${((performance.now() - begunAt) / 1000).toFixed(1)} s`)
}

async function compare({ atoll, victims, ledger, tally }: Scene, when: string): Promise<void> {
  const { dataDir } = atoll
  const rows = await readRows(dataDir)
  const problems = [
    ...auditAcknowledged(rows, ledger),
    ...(await auditRows(rows, dataDir)),
    ...auditHost({ dataDir, rows, victims }),
  ]
  for (const problem of problems) tally.problem(`${when}: ${problem}`)
}

async function endSystem({ atoll, tally }: Scene): Promise<void> {
  try {
    const status = await atoll.stop()
    if (status !== 0) tally.problem(`atoll up ended with status ${status}`)
  } catch (error) {
    tally.problem(`the system does not stop: ${error instanceof Error ? error.message.slice(0, 500) : error}`)
    await atoll.kill9()
  }
  for (const { kind, name } of findLeftovers(atoll.dataDir)) tally.problem(`after the stop: ${kind} ${name}`)
}

async function hasRoute(client: ApiClient, path: string): Promise<boolean> {
  const page = jsonOf(await client.call('GET', '/docs/json', { operation: 'page', promised: 'quick' }))
  const paths = page?.['paths']
  return typeof paths === 'object' && paths !== null && [path, `/api${path}`].some((name) => name in paths)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  if (typeof address !== 'object' || address === null) throw new Error('no port is free')
  return address.port
}
