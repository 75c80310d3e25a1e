import { AppError, STARTED_WAIT_MS, shownState } from '@atoll/protocol'
import type { SandboxChange, SandboxChanges } from './sandbox-changes.ts'
import type { SandboxRow } from './sandbox-table.ts'

/** How often a waiter looks though it was told nothing: the safety net under lost notifications. */
const RECHECK_MS = 2_000

export interface StartWaiterOptions {
  changes: SandboxChanges
  /** The row as it is now. */
  read: (id: string) => Promise<SandboxRow | undefined>
  /** Ends every wait with SERVICE_UNAVAILABLE. */
  closing: AbortSignal
  /** How long to wait, in milliseconds. */
  waitMs?: number
}

/**
 * Waits until a sandbox that is on its way has started, and returns its row. Throws SANDBOX_START_FAILED when it
 * ends otherwise, SANDBOX_START_TIMEOUT when time is up (it goes on starting), and the caller's reason when that
 * signal aborts.
 */
export type StartWaiter = (row: SandboxRow, signal: AbortSignal) => Promise<SandboxRow>

export function createStartWaiter(options: StartWaiterOptions): StartWaiter {
  const { changes, read, closing, waitMs = STARTED_WAIT_MS } = options
  const waiting = new Set<Bell>()
  closing.addEventListener('abort', () => {
    for (const bell of waiting) bell.ring()
  })
  return async (first, signal) => {
    const deadline = performance.now() + waitMs
    const bell = createBell()
    const unsubscribe = changes.subscribe((change) => {
      if (change === 'all' || (change.id === first.id && !isOnItsWay(change))) bell.ring()
    })
    signal.addEventListener('abort', bell.ring)
    waiting.add(bell)
    try {
      // A change between the caller's row and the subscription rang no bell.
      let row = await read(first.id)
      while (row !== undefined && isOnItsWay(row)) {
        signal.throwIfAborted()
        if (closing.aborted) throw new AppError('SERVICE_UNAVAILABLE', 'The server is shutting down')
        const leftMs = deadline - performance.now()
        if (leftMs <= 0) throw timeout(row.id, waitMs)
        await bell.wait(Math.min(leftMs, RECHECK_MS))
        row = await read(first.id)
      }
      return started(row)
    } finally {
      unsubscribe()
      signal.removeEventListener('abort', bell.ring)
      waiting.delete(bell)
    }
  }
}

function isOnItsWay(lifecycle: Pick<SandboxChange, 'state' | 'desiredState'>): boolean {
  const shown = shownState(lifecycle)
  return shown === 'creating' || shown === 'starting'
}

function started(row: SandboxRow | undefined): SandboxRow {
  const shown = row === undefined ? 'destroyed' : shownState(row)
  if (row !== undefined && shown === 'started') return row
  if (shown === 'error')
    throw new AppError('SANDBOX_START_FAILED', row?.errorReason ?? 'The sandbox could not be started')
  throw new AppError('SANDBOX_START_FAILED', `The sandbox is ${shown}, so it did not become started`)
}

function timeout(id: string, waitMs: number): AppError {
  return new AppError('SANDBOX_START_TIMEOUT', `Sandbox ${id} did not start within ${waitMs / 1000} seconds`)
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
