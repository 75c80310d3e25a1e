import { AppError } from '@atoll/protocol'
import type { SandboxChange, SandboxChanges } from './sandbox-changes.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** How often a waiter reads the row without a notification, in milliseconds, because notifications may be lost. */
const RECHECK_MS = 2_000

export interface StateWaiterOptions {
  changes: SandboxChanges
  /** Reads the row as it is now. */
  read: (id: string) => Promise<SandboxRow | undefined>
  /** Ends every wait with SERVICE_UNAVAILABLE. */
  closing: AbortSignal
  /** How long to wait, in milliseconds. */
  waitMs: number
}

/** Returns whether to go on waiting. */
export type Condition = (lifecycle: Pick<SandboxChange, 'state' | 'desiredState' | 'lost'>) => boolean

/**
 * Waits while `condition` holds for a sandbox whose row was read or written just now. Returns its row when the condition ends
 * or the time is up; undefined if there is no row any more. Throws the caller's reason when that signal aborts.
 */
export type StateWaiter = (
  known: SandboxRow,
  condition: Condition,
  signal: AbortSignal,
) => Promise<SandboxRow | undefined>

export function createStateWaiter({ changes, read, closing, waitMs }: StateWaiterOptions): StateWaiter {
  const waiting = new Set<Bell>()
  closing.addEventListener('abort', () => {
    for (const bell of waiting) bell.ring()
  })
  return async (known, condition, signal) => {
    const { id } = known
    const deadline = performance.now() + waitMs
    const bell = createBell()
    let news: SandboxRow | undefined
    const unsubscribe = changes.subscribe((change, row) => {
      if (change !== 'all' && (change.id !== id || condition(change))) return
      news = row
      bell.ring()
    })
    signal.addEventListener('abort', bell.ring)
    waiting.add(bell)
    try {
      let row: SandboxRow | undefined = known
      while (row !== undefined && condition(row)) {
        signal.throwIfAborted()
        if (closing.aborted) throw new AppError('SERVICE_UNAVAILABLE', 'The server is shutting down')
        const leftMs = deadline - performance.now()
        if (leftMs <= 0) break
        await bell.wait(Math.min(leftMs, RECHECK_MS))
        row = news ?? (await read(id))
        news = undefined
      }
      return row
    } finally {
      unsubscribe()
      signal.removeEventListener('abort', bell.ring)
      waiting.delete(bell)
    }
  }
}

/** A bell to wait for. It keeps a ring that comes before the wait. */
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
