/** How long a waiter waits without a ring, in milliseconds. */
const RECHECK_MS = 1_000

/** Wakes code that waits for a runner to make progress with a snapshot. */
export interface SnapshotWatch {
  /** Wakes the waiters of this ref on this runner, because something has changed there. */
  ring(runnerId: string, ref: string): void
  /** Resolves at the next ring, or after a second. Throws the signal's reason. */
  wait(runnerId: string, ref: string, signal: AbortSignal): Promise<void>
}

export function createSnapshotWatch({ recheckMs = RECHECK_MS }: { recheckMs?: number } = {}): SnapshotWatch {
  const waiting = new Map<string, Set<() => void>>()

  return {
    ring(runnerId, ref) {
      for (const wake of [...(waiting.get(keyOf(runnerId, ref)) ?? [])]) wake()
    },
    wait(runnerId, ref, signal) {
      const key = keyOf(runnerId, ref)
      return new Promise((resolve, reject) => {
        const forget = () => {
          clearTimeout(timer)
          signal.removeEventListener('abort', onAbort)
          const others = waiting.get(key)
          others?.delete(wake)
          if (others?.size === 0) waiting.delete(key)
        }
        const wake = () => {
          forget()
          resolve()
        }
        const onAbort = () => {
          forget()
          reject(signal.reason)
        }
        const timer = setTimeout(wake, recheckMs)
        waiting.set(key, (waiting.get(key) ?? new Set()).add(wake))
        signal.addEventListener('abort', onAbort, { once: true })
        if (signal.aborted) onAbort()
      })
    },
  }
}

function keyOf(runnerId: string, ref: string): string {
  return `${runnerId} ${ref}`
}
