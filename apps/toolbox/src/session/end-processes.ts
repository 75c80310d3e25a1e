import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'

/** The first wait before the signalled processes are looked at again; each wait is twice as long, up to the longest. */
const FIRST_POLL_MS = 5
const LONGEST_POLL_MS = 100
/** How long SIGKILL is repeated, because a process may start another before it dies. */
const KILLED_DEADLINE_MS = 5_000

export interface EndProcessesOptions {
  group: number
  /** A `NAME=value` in the environment of the processes to end. */
  mark: string
  graceMs: number
}

/**
 * Ends a process group and every process that was started with `mark` in its environment: SIGTERM, after the grace
 * SIGKILL. The mark finds processes that have left the group, as daemons do; a process that has dropped its environment
 * too is not found. Resolves when none is left, at most 5 s after the grace.
 */
export async function endProcesses({ group, mark, graceMs }: EndProcessesOptions): Promise<void> {
  const startedAt = performance.now()
  const told = new Set<number>()
  let pollMs = FIRST_POLL_MS
  signal(-group, 'SIGTERM')
  for (;;) {
    const left = findProcesses(group, mark)
    const waitedMs = performance.now() - startedAt
    if (left.length === 0 || waitedMs > graceMs + KILLED_DEADLINE_MS) return
    if (waitedMs >= graceMs) {
      signal(-group, 'SIGKILL')
      for (const { pid } of left) signal(pid, 'SIGKILL')
      // Looks at once for processes started meanwhile, before they start more.
      await nextTurn()
      continue
    }
    for (const { pid, processGroup } of left) {
      if (processGroup !== group && !told.has(pid)) signal(pid, 'SIGTERM')
      told.add(pid)
    }
    await delay(Math.min(pollMs, Math.max(0, graceMs - waitedMs)))
    pollMs = Math.min(2 * pollMs, LONGEST_POLL_MS)
  }
}

interface FoundProcess {
  pid: number
  processGroup: number
}

/**
 * Returns the newest processes first. NOTE: it reads without yielding, some 20 µs a process; else a process that starts
 * another and ends would be gone before it is looked at.
 */
function findProcesses(group: number, mark: string): FoundProcess[] {
  const pids = readdirSync('/proc').map(Number).filter(Number.isInteger)
  const found: FoundProcess[] = []
  for (const pid of pids.sort((a, b) => b - a)) {
    const processGroup = liveGroup(pid)
    if (processGroup === undefined) continue
    if (processGroup === group || hasMark(pid, mark)) found.push({ pid, processGroup })
  }
  return found
}

/** Returns the group of a process, or undefined when the process is dead. */
function liveGroup(pid: number): number | undefined {
  const line = readOwn(`/proc/${pid}/stat`)
  const [state, , processGroup] = line.slice(line.lastIndexOf(')') + 2).split(' ')
  return state === undefined || state === '' || 'ZX'.includes(state) ? undefined : Number(processGroup)
}

function hasMark(pid: number, mark: string): boolean {
  return `\0${readOwn(`/proc/${pid}/environ`)}`.includes(`\0${mark}\0`)
}

/** Returns the file, or an empty text for a process that is gone or another user's. */
function readOwn(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function signal(target: number, name: NodeJS.Signals): void {
  try {
    process.kill(target, name)
  } catch {
    // The process is gone, or another user's, which is not ours to end.
  }
}
