/** From SIGTERM to SIGKILL. */
const KILL_GRACE_MS = 2_000
/** The interval at which shutdown looks at the groups it has signalled. */
const END_POLL_MS = 20
/** How long shutdown waits after SIGKILL for the kernel, and for init to collect the dead. */
const KILLED_DEADLINE_MS = 500

/** The process groups of started commands, until the last process of each is gone. */
export interface ProcessGroups extends AsyncDisposable {
  /** Adds the group of a process that was spawned as the leader of a new group. */
  add(leader: number): void
  /** Records that the leader has exited; processes it left in the background stay known. */
  leaderExited(leader: number): void
  /** Ends the whole group: SIGTERM now, SIGKILL after the grace to processes that are left. Returns at once. */
  end(leader: number): void
}

/** `graceMs` is the time from SIGTERM to SIGKILL. */
export function createProcessGroups(options: { graceMs?: number } = {}): ProcessGroups {
  const { graceMs = KILL_GRACE_MS } = options
  /** Group → the timer of its SIGKILL, when it is being ended. */
  const groups = new Map<number, NodeJS.Timeout | undefined>()
  const running = new Set<number>()

  function forget(group: number): void {
    clearTimeout(groups.get(group))
    groups.delete(group)
  }

  /** Forgets groups that are gone, since the kernel may give their numbers to others. */
  function forgetEnded(): void {
    for (const group of groups.keys()) if (!running.has(group) && !signal(group, 0)) forget(group)
  }

  return {
    add(leader) {
      forgetEnded()
      groups.set(leader, undefined)
      running.add(leader)
    },
    leaderExited(leader) {
      running.delete(leader)
      if (!signal(leader, 0)) forget(leader)
    },
    end(leader) {
      if (!groups.has(leader) || groups.get(leader) !== undefined) return
      signal(leader, 'SIGTERM')
      const timer = setTimeout(() => {
        signal(leader, 'SIGKILL')
        groups.set(leader, undefined)
        forgetEnded()
      }, graceMs)
      groups.set(leader, timer)
    },
    async [Symbol.asyncDispose]() {
      for (const group of groups.keys()) {
        clearTimeout(groups.get(group))
        groups.set(group, undefined)
        signal(group, 'SIGTERM')
      }
      await untilEnded(groups, graceMs)
      for (const group of groups.keys()) signal(group, 'SIGKILL')
      await untilEnded(groups, KILLED_DEADLINE_MS)
    },
  }
}

/** Takes groups out of the map as they end, until it is empty or the time is over. */
async function untilEnded(groups: Map<number, unknown>, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    for (const group of groups.keys()) if (!signal(group, 0)) groups.delete(group)
    if (groups.size === 0 || performance.now() >= deadline) return
    await new Promise((resolve) => setTimeout(resolve, END_POLL_MS))
  }
}

/** Returns whether the group has a process that could be signalled; signal 0 only asks. */
function signal(group: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, name)
  } catch (error) {
    // EPERM: the process exists but is another user's, such as a setuid program.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
