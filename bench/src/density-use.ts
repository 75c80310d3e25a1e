import { readFileSync } from 'node:fs'
import type { ProcessFacts, RunningAtoll } from '@atoll/dev-env'
import { descendantsOf, listProcesses, processesOf } from '@atoll/dev-env'

/** Kernel memory that cannot be reclaimed, by the names of /proc/meminfo. */
const KERNEL_FIELDS = ['SUnreclaim', 'PageTables', 'KernelStack', 'Percpu']
const KB = 1.024e-3
/** The unit of times in /proc/<pid>/stat. */
const TICK_MS = 10

/** The parts of the system to which memory and processor time are assigned. */
export const parts = ['toolbox', 'init', 'monitor', 'api', 'runner', 'postgres', 'others'] as const
export type Part = (typeof parts)[number]

/** The use of one part: memory in MB, processor time since the start in milliseconds. */
export interface PartUse {
  processes: number
  /** Memory of pages that no other process has, written or not. */
  privateMb: number
  /** The private memory plus a proportional share of the shared pages. */
  shareMb: number
  cpuMs: number
}

/** The use of the machine by the system at one moment. */
export interface SystemUse {
  parts: Readonly<Record<Part, PartUse>>
  /** Kernel memory of the whole machine. */
  kernelMb: number
  /** Memory that programs could still get, on the whole machine. */
  availableMb: number
}

/** Reads the use of every process of the system, sandboxes included. */
export function readSystemUse(atoll: RunningAtoll): SystemUse {
  const all = listProcesses()
  const own = new Set(descendantsOf(atoll.pids().supervisor, all))
  for (const { pid } of processesOf(atoll.dataDir, all)) own.add(pid)
  const use = Object.fromEntries(
    parts.map((part) => [part, { processes: 0, privateMb: 0, shareMb: 0, cpuMs: 0 }]),
  ) as Record<Part, PartUse>
  for (const one of all) {
    if (!own.has(one.pid)) continue
    const sum = use[partOf(one, atoll)]
    const maps = read(`/proc/${one.pid}/smaps_rollup`)
    sum.processes += 1
    sum.privateMb += sumOf(maps, ['Private_Clean', 'Private_Dirty'])
    sum.shareMb += sumOf(maps, ['Pss'])
    sum.cpuMs += cpuMsOf(read(`/proc/${one.pid}/stat`))
  }
  const machine = readFileSync('/proc/meminfo', 'utf8')
  return { parts: use, kernelMb: sumOf(machine, KERNEL_FIELDS), availableMb: sumOf(machine, ['MemAvailable']) }
}

function partOf({ pid, command, cgroups }: ProcessFacts, atoll: RunningAtoll): Part {
  const { api, runner } = atoll.pids()
  if (pid === api) return 'api'
  if (pid === runner) return 'runner'
  if (/\/atoll-[0-9a-f]{8}\//.test(cgroups)) return command.includes('/tini ') ? 'init' : 'toolbox'
  if (/^postgres|\/postgres /.test(command)) return 'postgres'
  return command.includes(`${atoll.dataDir}/runner/sandboxes/`) ? 'monitor' : 'others'
}

/** Returns the sum of the lines with these names, in MB; the lines are in kB. */
export function sumOf(text: string, fields: readonly string[]): number {
  const lines = text.matchAll(/^(\w+):\s+(\d+) kB$/gm)
  return [...lines].reduce((sum, [, name, kb]) => sum + (fields.includes(name ?? '') ? Number(kb) * KB : 0), 0)
}

/** Returns the user and system time of a line of /proc/<pid>/stat; 0 for a process that is gone. */
export function cpuMsOf(stat: string): number {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) * TICK_MS
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // The process has ended meanwhile.
    return ''
  }
}
