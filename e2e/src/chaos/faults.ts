import type { Chance } from './chance.ts'
import type { DataDisk } from './data-disk.ts'
import type { Ledger } from './ledger.ts'
import { pause } from './pause.ts'
import type { Tally } from './tally.ts'
import type { Victims } from './victims.ts'

/** Between two faults, in milliseconds. */
const [MIN_GAP_MS, MAX_GAP_MS] = [300, 3_000]
/** How long a process stands still and the disk is full, in milliseconds. */
const [MIN_STALL_MS, MAX_STALL_MS] = [300, 5_000]
/** How long a runtime that has just begun is looked for. */
const YOUNG_RUNTIME_MS = 1_500
const LOOK_EVERY_MS = 5
/** Room that a full disk has left, in bytes: none, or so little that something else fails. */
const LEFT_BYTES = [0, 8 * 1024, 1024 ** 2] as const

/**
 * What everything rests on is hit once the workers have got so much done since it last was, and in so many of a hundred
 * cases before, while it is still starting.
 */
const CALLS_BETWEEN_PER_WORKER = 2
const AGAIN_PERCENT = 8

export interface FaultOptions {
  chance: Chance
  victims: Victims
  disk: DataDisk
  ledger: Ledger
  tally: Tally
  say: (line: string) => void
  workers: number
  /** Whether the system serves again after the last fault. */
  isServing: () => Promise<boolean>
  /** Kinds to leave it at; undefined: all. */
  only: readonly string[] | undefined
  /** Aborts when the storm is over. */
  over: AbortSignal
}

interface Fault {
  weight: number
  kind: string
  /** Nobody gets anything done for a while. */
  hitsAll: boolean
  /** Resolves, when the fault is over, with whether it could be done. */
  apply(): Promise<boolean>
}

/** One fault after the other until the storm is over; afterwards nothing stands still and the disk has room. */
export async function runFaults(options: FaultOptions): Promise<void> {
  const { chance, tally, say, only, workers, isServing, over } = options
  let doneBefore = 0
  const faults = faultsOf(options).filter(({ kind }) => only?.includes(kind) ?? true)
  while (!over.aborted) {
    await pause(chance.integer(MIN_GAP_MS, MAX_GAP_MS), over)
    if (over.aborted) return
    const isBack = tally.done - doneBefore >= CALLS_BETWEEN_PER_WORKER * workers && (await isServing())
    const mayHitAll = chance.percent(AGAIN_PERCENT) || isBack
    const fault = chance.weigh(faults.filter(({ hitsAll }) => mayHitAll || !hitsAll))
    if (fault === undefined || !(await fault.apply())) continue
    if (fault.hitsAll) doneBefore = tally.done
    tally.fault(fault.kind)
    say(`fault: ${fault.kind}`)
  }
}

const HITS_ALL = /api|runner|supervisor|postmaster|backend|host disk/

function faultsOf({ victims, chance, disk, ledger, over }: FaultOptions): Fault[] {
  const some = (pids: number[]) => (pids.length === 0 ? undefined : chance.pick(pids))
  const stall = async (pid: number | undefined) => {
    if (!signal(pid, 'SIGSTOP')) return false
    await pause(chance.integer(MIN_STALL_MS, MAX_STALL_MS), over)
    signal(pid, 'SIGCONT')
    return true
  }
  const fault = (weight: number, kind: string, apply: () => boolean | Promise<boolean>) => ({
    ...{ weight, kind, hitsAll: HITS_ALL.test(kind) },
    apply: async () => apply(),
  })
  return [
    fault(8, 'kill api', () => signal(victims.api(), 'SIGKILL')),
    fault(8, 'kill runner', () => signal(victims.runner(), 'SIGKILL')),
    fault(1, 'kill supervisor', () => signal(victims.supervisor(), 'SIGKILL')),
    fault(14, 'kill toolbox', () => signal(some(victims.toolboxes()), 'SIGKILL')),
    fault(14, 'kill young runtime', async () => signal(await youngRuntime(victims, over), 'SIGKILL')),
    fault(6, 'kill old runtime', () => signal(some(victims.runtimes()), 'SIGKILL')),
    fault(4, 'kill postmaster', () => signal(victims.postmaster(), 'SIGKILL')),
    fault(4, 'kill backend', () => signal(some(victims.backends()), 'SIGKILL')),
    fault(5, 'stall api', () => stall(victims.api())),
    fault(5, 'stall runner', () => stall(victims.runner())),
    fault(6, 'stall toolbox', () => stall(some(victims.toolboxes()))),
    fault(3, 'stall postmaster', () => stall(victims.postmaster())),
    fault(5, 'host disk full', async () => {
      try {
        disk.fill(chance.pick(LEFT_BYTES))
        await pause(chance.integer(MIN_STALL_MS, MAX_STALL_MS), over)
      } finally {
        disk.free()
        ledger.loseUnflushed()
      }
      return true
    }),
  ]
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
