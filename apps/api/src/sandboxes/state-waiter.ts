import { AppError } from '@atoll/protocol'
import type { SandboxChange, SandboxChanges } from './sandbox-changes.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** How often a waiter looks though it was told nothing: the safety net under lost notifications. */
const RECHECK_MS = 2_000

export interface StateWaiterOptions {
  changes: SandboxChanges
  /** The row as it is now. */
  read: (id: string) => Promise<SandboxRow | undefined>
  /** Ends every wait with SERVICE_UNAVAILABLE. */
  closing: AbortSignal
  /** How long to wait, in milliseconds. */
  waitMs: number
}

/** Whether to go on waiting. */
export type Condition = (lifecycle: Pick<SandboxChange, 'state' | 'desiredState' | 'lost'>) => boolean

/**
 * Waits while a condition holds for a sandbox, and returns its row as it is then, or when time is up. Throws the
 * caller's reason when that signal aborts.
 */
export type StateWaiter = (id: string, condition: Condition, signal: AbortSignal) => Promise<SandboxRow | undefined>

export function createStateWaiter({ changes, read, closing, waitMs }: StateWaiterOptions): StateWaiter {
  const waiting = new Set<Bell>()
  closing.addEventListener('abort', () => {
    for (const bell of waiting) bell.ring()
  })
  return async (id, condition, signal) => {
    const deadline = performance.now() + waitMs
    const bell = createBell()
    const unsubscribe = changes.subscribe((change) => {
      if (change === 'all' || (change.id === id && !condition(change))) bell.ring()
    })
    signal.addEventListener('abort', bell.ring)
    waiting.add(bell)
    try {
      // A change between the caller's row and the subscription rang no bell.
      let row = await read(id)
      while (row !== undefined && condition(row)) {
        signal.throwIfAborted()
        if (closing.aborted) throw new AppError('SERVICE_UNAVAILABLE', 'The server is shutting down')
        const leftMs = deadline - performance.now()
        if (leftMs <= 0) break
        await bell.wait(Math.min(leftMs, RECHECK_MS))
        row = await read(id)
      }
      return row
    } finally {
      unsubscribe()
      signal.removeEventListener('abort', bell.ring)
      waiting.delete(bell)
    }
  }
}

/** Something to wait for that keeps a ring nobody waited for. */
interface Bell {
  ring: () => void
  wait(timeoutMs: number): Promise<void>
}

function createBell(): Bell {
  let rung = false
  let wake: (() => void) | undefined
  return {
    ring: () => {
      rung = true
      wake?.()
    },
    async wait(timeoutMs: number): Promise<void> {
      let timer: NodeJS.Timeout | undefined
      if (!rung) {
        await new Promise<void>((resolve) => {
          wake = resolve
          timer = setTimeout(resolve, timeoutMs)
        })
      }
      clearTimeout(timer)
      wake = undefined
      rung = false
    },
  }
}
