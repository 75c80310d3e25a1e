import type { Background } from './background.ts'
import { createBackground } from './background.ts'
import type { Chance } from './chance.ts'
import type { DataDisk } from './data-disk.ts'
import type { Deck } from './deck.ts'
import { createDeck } from './deck.ts'
import type { FaultKind } from './fault-kinds.ts'
import { FAULTS_OF_ALL, FAULTS_OF_SOME, FIRST_FAULTS, LONG_FAULTS } from './fault-kinds.ts'
import type { Ledger } from './ledger.ts'
import { pause } from './pause.ts'
import type { SecondRunner } from './second-runner.ts'
import type { Tally } from './tally.ts'
import type { Victims } from './victims.ts'

/** Between two faults, in milliseconds. */
const [MIN_GAP_MS, MAX_GAP_MS] = [300, 3_000]
/** How long a process stands still and the disk is full, in milliseconds. */
const [MIN_STALL_MS, MAX_STALL_MS] = [300, 5_000]
/** How long the second runner is away, in milliseconds: it is lost meanwhile, and other things are hit. */
const [MIN_AWAY_MS, MAX_AWAY_MS] = [12_000, 20_000]
/** How long a process stands still for links to be given up, which takes 45 s of a toolbox's and 35 s of a runner's. */
const [MIN_LONG_STALL_MS, MAX_LONG_STALL_MS] = [40_000, 60_000]
/** How long a storm is to be that has those, in milliseconds. */
const LONG_STORM_MS = 2 * 60_000
/** How long a runtime that has just begun is looked for, in milliseconds: until what was hit before serves again. */
const YOUNG_RUNTIME_MS = 5_000
const LOOK_EVERY_MS = 10
/** Room that a full disk has left, in bytes: none, or so little that something else fails. */
const LEFT_BYTES = [0, 8 * 1024, 1024 ** 2] as const

/**
 * What everything rests on is hit once the workers have got so much done since it last was, and in so many of a hundred
 * cases before, while it is still starting.
 */
const CALLS_BETWEEN_PER_WORKER = 2
const AGAIN_PERCENT = 8
/** Of the faults that come when it may be hit, how many of a hundred hit it; all, until the first faults have come. */
const OF_ALL_PERCENT = 50
/** How long the next of the first faults waits for the system on a busy machine, in milliseconds. */
const FIRST_PATIENCE_MS = 15_000

export interface FaultOptions {
  chance: Chance
  victims: Victims
  disk: DataDisk
  second: SecondRunner | undefined
  ledger: Ledger
  tally: Tally
  say: (line: string) => void
  workers: number
  /** How long the storm is to be, in milliseconds. */
  stormMs: number
  /** Whether the system serves again after the last fault. */
  isServing: () => Promise<boolean>
  /** Kinds to leave it at; undefined: all. */
  only: readonly string[] | undefined
  /** Aborts when the storm is over. */
  over: AbortSignal
}

/** Resolves, when the fault is over, with whether it could be done. */
type Apply = () => boolean | Promise<boolean>

/**
 * One fault after the other until the storm is over; afterwards nothing stands still and the disk has room. The seed
 * decides which come of those that hit all and of the others, in which order; what happens decides whose turn it is.
 */
export async function runFaults(options: FaultOptions): Promise<void> {
  const { chance, tally, say, workers, isServing, over } = options
  let [doneBefore, hitAt] = [0, performance.now()]
  const [numbersOfAll, numbersOfSome] = [wanted(FAULTS_OF_ALL, options), wanted(FAULTS_OF_SOME, options)]
  const firstOfAll = FIRST_FAULTS.filter((kind) => kind in numbersOfAll)
  const firstOfSome = FIRST_FAULTS.filter((kind) => kind in numbersOfSome)
  const ofAll = createDeck(chance.child('all'), numbersOfAll, firstOfAll)
  const ofSome = createDeck(chance.child('some'), numbersOfSome, firstOfSome)
  const background = createBackground()
  const faults = faultsOf(options, background)
  try {
    while (!over.aborted) await next()
  } finally {
    await background.end()
  }

  async function next(): Promise<void> {
    await pause(chance.integer(MIN_GAP_MS, MAX_GAP_MS), over)
    if (over.aborted) return
    const isBack = tally.done - doneBefore >= CALLS_BETWEEN_PER_WORKER * workers && (await isServing())
    const isOwed = firstOfAll.some((kind) => !tally.faults.has(kind))
    const isLate = isOwed && performance.now() - hitAt > FIRST_PATIENCE_MS
    const mayHitAll = chance.percent(AGAIN_PERCENT) || isBack || isLate
    const deck: Deck<FaultKind> = mayHitAll && (isOwed || chance.percent(OF_ALL_PERCENT)) ? ofAll : ofSome
    const kind = deck.draw()
    if (kind === undefined) return
    if (!(await faults[kind]())) return deck.putBack(kind)
    if (deck === ofAll) [doneBefore, hitAt] = [tally.done, performance.now()]
    tally.fault(kind)
    say(`fault: ${kind}`)
  }
}

function wanted(
  numbers: Readonly<Partial<Record<FaultKind, number>>>,
  { only, stormMs }: FaultOptions,
): Partial<Record<FaultKind, number>> {
  const fits = (kind: string) => stormMs >= LONG_STORM_MS || !LONG_FAULTS.includes(kind)
  return Object.fromEntries(Object.entries(numbers).filter(([kind]) => only?.includes(kind) ?? fits(kind)))
}

function faultsOf(options: FaultOptions, background: Background): Record<FaultKind, Apply> {
  const { victims, chance, disk, second, ledger, over } = options
  const some = (pids: number[]) => (pids.length === 0 ? undefined : chance.pick(pids))
  const stallLong = (pid: number | undefined) =>
    pid !== undefined &&
    background.begin(async () => {
      signal(pid, 'SIGSTOP')
      await pause(chance.integer(MIN_LONG_STALL_MS, MAX_LONG_STALL_MS), over)
      signal(pid, 'SIGCONT')
    })
  const stall = async (pid: number | undefined) => {
    if (!signal(pid, 'SIGSTOP')) return false
    await pause(chance.integer(MIN_STALL_MS, MAX_STALL_MS), over)
    signal(pid, 'SIGCONT')
    return true
  }
  return {
    'kill api': () => signal(victims.api(), 'SIGKILL'),
    'kill runner': () => signal(victims.runner(), 'SIGKILL'),
    'kill supervisor': () => signal(victims.supervisor(), 'SIGKILL'),
    'kill toolbox': () => signal(some(victims.toolboxes()), 'SIGKILL'),
    'kill young runtime': async () => signal(await youngRuntime(victims, over), 'SIGKILL'),
    'kill old runtime': () => signal(some(victims.runtimes()), 'SIGKILL'),
    'kill postmaster': () => signal(victims.postmaster(), 'SIGKILL'),
    'kill backend': () => signal(some(victims.backends()), 'SIGKILL'),
    'stall api': () => stall(victims.api()),
    'stall runner': () => stall(victims.runner()),
    'stall toolbox': () => stall(some(victims.toolboxes())),
    'stall postmaster': () => stall(victims.postmaster()),
    'stall backend': () => stall(some(victims.backends())),
    'long stall runner': () => stallLong(victims.runner()),
    'long stall toolbox': () => stallLong(some(victims.toolboxes())),
    'lose second host': () =>
      second !== undefined &&
      background.begin(async () => {
        await second.vanish(chance.pick(['host', 'link']))
        await pause(chance.integer(MIN_AWAY_MS, MAX_AWAY_MS), over)
        await second.start()
      }),
    'host disk full': async () => {
      try {
        disk.fill(chance.pick(LEFT_BYTES))
        await pause(chance.integer(MIN_STALL_MS, MAX_STALL_MS), over)
      } finally {
        disk.free()
        ledger.loseUnflushed()
      }
      return true
    },
  }
}

/** A runtime that was not there a moment ago: one that is making a sandbox. */
async function youngRuntime({ runtimes }: Victims, over: AbortSignal): Promise<number | undefined> {
  const old = new Set(runtimes())
  const giveUpAt = performance.now() + YOUNG_RUNTIME_MS
  while (!over.aborted && performance.now() < giveUpAt) {
    const young = runtimes().find((pid) => !old.has(pid))
    if (young !== undefined) return young
    await pause(LOOK_EVERY_MS, over)
  }
  return undefined
}

function signal(pid: number | undefined, name: NodeJS.Signals): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(pid, name)
  } catch {
    // It ended by itself meanwhile.
    return false
  }
}
