import type { ApiClient } from './api-client.ts'
import { jsonOf } from './api-client.ts'
import type { Chance } from './chance.ts'
import { FULL_SANDBOX } from './fault-kinds.ts'
import type { KnownSandbox, Ledger, Resources } from './ledger.ts'
import { fallBack, noteSaved } from './ledger.ts'
import { pause } from './pause.ts'
import type { SandboxCalls } from './sandbox-calls.ts'
import { adopt, FILE_SIZES, writableFile } from './sandbox-calls.ts'
import type { Tally } from './tally.ts'

/** Sandboxes that one worker has at the same time, and settled files in each. */
const MAX_SANDBOXES = 2
const MAX_FILES = 8
/** How often a worker looks whether what it waits for has come, and how long at most, in milliseconds. */
const LOOK_EVERY_MS = 300
const PATIENCE_MS = 15_000
/** Before the next call when the API is not there. */
const PAUSE_MS = 200

/** What a sandbox may become: processors, and GiB. */
const MAX_RESOURCES: Resources = { cpu: 3, memory: 2, disk: 5 }
/** The variable that says which sandbox it is. */
const MARK = 'CHAOS'
const ON_ITS_WAY = ['starting', 'stopping', 'archiving', 'restoring', 'creating', 'resizing']

export interface WorkerOptions {
  number: number
  chance: Chance
  client: ApiClient
  calls: SandboxCalls
  ledger: Ledger
  tally: Tally
  /** Whether it fills its sandboxes' disks now and then. */
  fillsDisks: boolean
  /** Aborts when the storm is over. */
  over: AbortSignal
}

/** One deed, and the states in which it makes sense. */
interface Deed {
  weight: number
  states: readonly string[]
  /** Whether it makes sense while the disk is filled, or only then; always, where it is not said. */
  whileFull?: boolean
  run(sandbox: KnownSandbox): Promise<unknown>
}

/** A client that makes, uses and deletes sandboxes of its own, one call after the other, until the storm is over. */
export async function runWorker(options: WorkerOptions): Promise<void> {
  const { chance, over } = options
  const own: KnownSandbox[] = []
  const deeds = deedsOf(options, own)
  while (!over.aborted) {
    const living = own.filter(({ existence }) => existence === 'there' || existence === 'leaving')
    if (living.length === 0 || (living.length < MAX_SANDBOXES && chance.percent(10))) {
      await addOne(options, own)
      continue
    }
    const sandbox = chance.pick(living)
    if (sandbox.existence === 'leaving') {
      await pause(PAUSE_MS, over)
      await options.calls.delete(sandbox)
      continue
    }
    const state = sandbox.state === 'unheard' ? await options.calls.look(sandbox) : sandbox.state
    const fits = ({ states, whileFull = sandbox.isFull }: Deed) =>
      whileFull === sandbox.isFull && states.includes(state ?? '')
    const deed = chance.weigh(deeds.filter(fits))
    if (deed) await deed.run(sandbox)
    // On its way, or nobody can say.
    else await pause(PAUSE_MS, over)
    if (!deed) sandbox.state = 'unheard'
  }
}

async function addOne(options: WorkerOptions, own: KnownSandbox[]): Promise<void> {
  const { chance, ledger, number, over } = options
  const made = await create(options, `chaos-${number}-${own.length}-${ledger.sandboxes.length}`)
  if (made.state === 'started' && chance.percent(50)) await lookAround(options, made)
  if (made.existence === 'there') own.push(made)
  else await pause(PAUSE_MS, over)
}

/** Asks for a sandbox of that name, and looks whether it is there where nobody says so. */
export async function create(
  { client, calls, ledger }: Pick<WorkerOptions, 'client' | 'calls' | 'ledger'>,
  name: string,
): Promise<KnownSandbox> {
  const sandbox = ledger.add(name)
  const life = { autoStopInterval: 0, autoDeleteInterval: -1 }
  const body = { name, env: { [MARK]: sandbox.mark }, ...life }
  const outcome = await client.call('POST', '/sandbox', { operation: 'create', promised: 'start', body })
  const made = jsonOf(outcome)
  if (made !== undefined) adopt(sandbox, made)
  // Nobody said so, but it may be there.
  else await calls.look(sandbox)
  return sandbox
}

function deedsOf(options: WorkerOptions, own: KnownSandbox[]): Deed[] {
  const { calls, chance } = options
  const started = ['started']
  const command = (verb: string) => async (sandbox: KnownSandbox) => {
    await calls.command(sandbox, verb)
    if (chance.percent(50)) await untilAtRest(options, sandbox)
  }
  const write = async (sandbox: KnownSandbox) => {
    const file = writableFile(sandbox, MAX_FILES, chance.pick)
    if (chance.percent(30)) await calls.writeByCommand(sandbox, file, chance.percent(50))
    else await calls.upload(sandbox, file, chance.pick(FILE_SIZES))
  }
  return [
    { weight: 20, states: started, run: (sandbox) => execute(options, sandbox) },
    { weight: 25, states: started, run: write },
    { weight: 10, states: started, run: (sandbox) => checkOne(options, sandbox) },
    { weight: 3, states: started, run: (sandbox) => removeOne(options, sandbox) },
    { weight: 14, states: started, run: command('stop') },
    { weight: 2, states: started, run: (sandbox) => stopUnderCommand(options, sandbox) },
    {
      weight: options.fillsDisks ? 2 : 0,
      states: started,
      whileFull: false,
      run: (sandbox) => fillDisk(options, sandbox),
    },
    { weight: 30, states: started, whileFull: true, run: (sandbox) => emptyDisk(options, sandbox) },
    { weight: 4, states: ['started', 'stopped'], run: (sandbox) => forkOne(options, own, sandbox) },
    { weight: 3, states: ['started', 'stopped'], whileFull: false, run: (sandbox) => backUp(options, sandbox) },
    { weight: 20, states: ['stopped', 'archived'], run: command('start') },
    { weight: 14, states: ['stopped'], whileFull: false, run: command('archive') },
    { weight: 4, states: started, run: (sandbox) => grow(options, sandbox, ['cpu', 'memory']) },
    { weight: 3, states: ['stopped'], run: (sandbox) => grow(options, sandbox, ['disk']) },
    { weight: 3, states: ['stopped'], run: (sandbox) => calls.resize(sandbox, { cpu: chance.integer(1, 2) }) },
    { weight: 3, states: ['stopped'], run: (sandbox) => calls.resize(sandbox, { memory: chance.integer(1, 2) }) },
    { weight: 20, states: ['error'], run: command('recover') },
    { weight: 3, states: ['started', 'stopped', 'archived', 'error'], run: (sandbox) => calls.delete(sandbox) },
    // Its runner is lost.
    { weight: 6, states: ['unknown'], run: (sandbox) => recoverElsewhere(options, sandbox) },
    { weight: 4, states: ['unknown'], run: calls.look },
    { weight: 1, states: ['unknown'], run: calls.delete },
    // Deleted whatever it is doing, seldom: deletions cut short what is under way.
    { weight: 1, states: ON_ITS_WAY, run: calls.delete },
    { weight: 9, states: ON_ITS_WAY, run: calls.look },
  ]
}

async function execute({ calls, chance, tally }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  const word = `word-${chance.integer(0, 1_000_000)}`
  const said = await calls.execute(sandbox, `sh -c 'echo ${word} $${MARK}'`)
  const wanted = `${word} ${sandbox.mark}`
  if (said !== undefined && said.trim() !== wanted)
    tally.problem(`a command of ${sandbox.name} (${sandbox.id}) printed "${said}" for ${wanted}`)
  if (said === undefined) sandbox.state = 'unheard'
}

/** Lists the files of a new sandbox, without the folder in which its toolbox makes pipes now and then, for a moment. */
const LOOK_AROUND = "sh -c 'ls -A -I .atoll-????????-?????? ~ /tmp'"

/** What is in a new sandbox, which must be the same whether it waited in a warm pool or not. */
async function lookAround({ calls, ledger, tally }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  const said = await calls.execute(sandbox, LOOK_AROUND)
  if (said === undefined) {
    sandbox.state = 'unheard'
    return
  }
  ledger.firstSight ??= said
  if (said !== ledger.firstSight) {
    tally.problem(`${sandbox.name} (${sandbox.id}) began with "${said}", and the first with "${ledger.firstSight}"`)
  }
}

async function checkOne({ calls, chance }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  if (sandbox.files.size === 0) return
  if (!(await calls.check(sandbox, chance.pick([...sandbox.files.values()])))) sandbox.state = 'unheard'
}

async function removeOne({ calls, chance }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  const settled = [...sandbox.files.values()].filter((file) => file.settled)
  if (settled.length > 0) await calls.removeFile(sandbox, chance.pick(settled))
}

/** A command that is cut off by the stop must have an answer, too. */
async function stopUnderCommand({ calls }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  await Promise.all([calls.execute(sandbox, 'sleep 8'), calls.command(sandbox, 'stop')])
}

const BALLAST = '/home/daytona/ballast'
/** Takes what room there is, in ever smaller steps; nothing is written, so that the host's disk does not notice. */
const TAKE_ALL_ROOM = `for size in 512M 64M 8M 1M 64K 4K; do
  while fallocate -o $(stat -c %s ${BALLAST}) -l $size ${BALLAST}; do :; done
done`

/** Leaves no room on the sandbox's disk for a while, in which nothing may be damaged and it may stop and start. */
async function fillDisk({ calls, chance, tally }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  sandbox.isFull = true
  tally.fault(FULL_SANDBOX)
  await calls.execute(sandbox, `sh -c 'touch ${BALLAST}; (${TAKE_ALL_ROOM}) 2>/dev/null; exit 0'`)
  await calls.upload(sandbox, writableFile(sandbox, MAX_FILES, chance.pick), 40_000)
}

async function emptyDisk({ calls }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  const freed = await calls.execute(sandbox, `sh -c 'rm -f ${BALLAST} && echo freed'`)
  if (freed !== undefined) sandbox.isFull = false
  else sandbox.state = 'unheard'
}

async function forkOne(options: WorkerOptions, own: KnownSandbox[], source: KnownSandbox): Promise<void> {
  const fresh = await fork(options, source, `chaos-${options.number}-fork-${options.ledger.sandboxes.length}`)
  if (fresh.existence === 'there') own.push(fresh)
}

/** Asks for a fork of that name, and looks whether it is there where nobody says so. */
export async function fork(
  { client, calls, ledger }: Pick<WorkerOptions, 'client' | 'calls' | 'ledger'>,
  source: KnownSandbox,
  name: string,
): Promise<KnownSandbox> {
  const fresh = ledger.add(name, source)
  fresh.isFull = source.isFull
  const call = { operation: 'fork', promised: 'start', body: { name } } as const
  const outcome = await client.call('POST', `/sandbox/${source.id}/fork`, call)
  const made = jsonOf(outcome)
  if (made !== undefined) adopt(fresh, made)
  else await calls.look(fresh)
  return fresh
}

/** Asks for a backup and waits, writing nothing, until it is whole or patience is over. */
export async function backUp({ calls, over }: Pick<WorkerOptions, 'calls' | 'over'>, sandbox: KnownSandbox) {
  const before = sandbox.backup.createdAt
  if ((await calls.command(sandbox, 'backup')).kind !== 'ok') return
  const giveUpAt = performance.now() + PATIENCE_MS
  while (!over.aborted && performance.now() < giveUpAt) {
    await calls.look(sandbox)
    const { state, createdAt } = sandbox.backup
    if (state === 'Completed' && createdAt !== before) return noteSaved(sandbox)
    if (state !== 'Pending' && state !== 'InProgress') return
    await pause(LOOK_EVERY_MS, over)
  }
}

/** From a runner that is lost to the files of its last backup on another, unless the first has returned. */
async function recoverElsewhere({ calls }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  const outcome = await calls.command(sandbox, 'recover')
  if (outcome.kind !== 'refused') fallBack(sandbox)
}

/** One more of something that may be more. */
async function grow({ calls, chance }: WorkerOptions, sandbox: KnownSandbox, what: (keyof Resources)[]): Promise<void> {
  const kind = chance.pick(what)
  const now = sandbox.resources?.[kind] ?? MAX_RESOURCES[kind]
  if (now < MAX_RESOURCES[kind]) await calls.resize(sandbox, { [kind]: now + 1 })
}

/** Looks until the sandbox does nothing any more, or patience is over. */
async function untilAtRest({ calls, over }: WorkerOptions, sandbox: KnownSandbox): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS
  const atRest = ['started', 'stopped', 'archived', 'error', 'destroyed', 'unknown']
  while (!over.aborted && performance.now() < giveUpAt) {
    const state = await calls.look(sandbox)
    if (state !== undefined && atRest.includes(state)) return
    await pause(LOOK_EVERY_MS, over)
  }
}
