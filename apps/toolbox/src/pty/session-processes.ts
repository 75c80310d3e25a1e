import { readdirSync, readFileSync } from 'node:fs'

/** The time from SIGHUP and SIGTERM to SIGKILL. */
const KILL_GRACE_MS = 500
/** The interval at which a signalled session is looked at. */
const POLL_MS = 20
/** How long to wait for the kernel after SIGKILL. */
const KILLED_DEADLINE_MS = 5_000

/**
 * Ends every process in a terminal's session, in whatever group, even one that ignores SIGHUP. `leader` is its shell,
 * which must still run: while a process of the session is left, the kernel cannot reuse the session's number. Resolves
 * when all have ended, or after 5.5 s.
 */
export async function endSession(leader: number, graceMs = KILL_GRACE_MS): Promise<void> {
  // SIGCONT lets a stopped process receive the other signals; SIGHUP is there because an interactive shell ignores SIGTERM.
  for (const name of ['SIGHUP', 'SIGTERM', 'SIGCONT'] as const) signalAll(membersOf(leader), name)
  const polite = performance.now() + graceMs
  while (performance.now() < polite) {
    if (membersOf(leader).length === 0) return
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
  const deadline = performance.now() + KILLED_DEADLINE_MS
  while (performance.now() < deadline) {
    const members = membersOf(leader)
    if (members.length === 0) return
    signalAll(members, 'SIGKILL')
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

/** Tells the programs in the foreground of a terminal that its size changed, so that they draw themselves anew. */
export function askToRedraw(leader: number): void {
  const foreground = readStat(leader)?.foreground ?? 0
  if (foreground > 0) signal(-foreground, 'SIGWINCH')
}

/** Returns the processes of the session that have not ended. */
function membersOf(session: number): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid)) return false
      const stat = readStat(pid)
      return stat !== undefined && stat.session === session && !'ZX'.includes(stat.state)
    })
}

/** Reads /proc/<pid>/stat, see proc_pid_stat(5). Returns undefined for a process that is gone. */
function readStat(pid: number): { state: string; session: number; foreground: number } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    // The name before the state may contain anything, spaces and parentheses too.
    const [state = '', , , session, , foreground] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return { state, session: Number(session), foreground: Number(foreground) }
  } catch {
    return undefined
  }
}

function signalAll(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) signal(pid, name)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch {
    // The process has ended meanwhile, or is another user's, such as a setuid program.
  }
}
