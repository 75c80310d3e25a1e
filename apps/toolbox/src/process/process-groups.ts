/** From the polite signal to the one that cannot be ignored. */
const KILL_GRACE_MS = 2_000
/** How often a group that was signalled at shutdown is looked at. */
const END_POLL_MS = 20
/** How long shutdown waits after SIGKILL for the kernel, and for init to collect the dead. */
const KILLED_DEADLINE_MS = 500

/** The process groups of started commands, until the last process of each is gone. */
export interface ProcessGroups extends AsyncDisposable {
  /** `leader` was spawned as the leader of a new group. */
  add(leader: number): void
  /** The leader has exited; what it left running in the background stays known. */
  leaderExited(leader: number): void
  /** Ends the whole group: SIGTERM now, SIGKILL after the grace to what is left. Returns at once. */
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

  /** The number of a group that is gone may be given to another, so it is not kept. */
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

/** Whether the group has a process that could be signalled; signal 0 only asks. */
function signal(group: number, name: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, name)
  } catch (error) {
    // EPERM: there, but another user's, such as a setuid program.
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
