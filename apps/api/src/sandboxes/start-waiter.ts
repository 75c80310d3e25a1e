import type { SandboxState } from '@atoll/protocol'
import { AppError, STARTED_WAIT_MS, shownState } from '@atoll/protocol'
import type { SandboxChange } from './sandbox-changes.ts'
import type { SandboxRow } from './sandbox-table.ts'
import type { StateWaiterOptions } from './state-waiter.ts'
import { createStateWaiter } from './state-waiter.ts'

export type StartWaiterOptions = Omit<StateWaiterOptions, 'waitMs'> & Partial<Pick<StateWaiterOptions, 'waitMs'>>

/**
 * Waits until a sandbox that is on its way has started, and returns its row. Throws SANDBOX_START_FAILED when it
 * ends otherwise, SANDBOX_START_TIMEOUT when time is up (it goes on starting), and the caller's reason when that
 * signal aborts.
 */
export type StartWaiter = (row: SandboxRow, signal: AbortSignal) => Promise<SandboxRow>

export function createStartWaiter({ waitMs = STARTED_WAIT_MS, ...options }: StartWaiterOptions): StartWaiter {
  const wait = createStateWaiter({ ...options, waitMs })
  return async (known, signal) => {
    // A sandbox that is ready already needs no wait.
    if (!isOnItsWay(known)) return started(known)
    const row = await wait(known, isOnItsWay, signal)
    if (row !== undefined && isOnItsWay(row)) throw timeout(known.id, waitMs)
    return started(row)
  }
}

const ON_ITS_WAY: ReadonlySet<SandboxState> = new Set([
  ...(['pending_build', 'building_snapshot', 'pulling_snapshot'] as const),
  ...(['creating', 'restoring', 'starting'] as const),
])

function isOnItsWay(lifecycle: Pick<SandboxChange, 'state' | 'desiredState' | 'lost'>): boolean {
  const shown = shownState(lifecycle)
  return ON_ITS_WAY.has(shown)
}

function started(row: SandboxRow | undefined): SandboxRow {
  const shown = row === undefined ? 'destroyed' : shownState(row)
  if (row !== undefined && shown === 'started') return row
  if (shown === 'error')
    throw new AppError('SANDBOX_START_FAILED', row?.errorReason ?? 'The sandbox could not be started')
  if (shown === 'unknown')
    throw new AppError(
      'SANDBOX_START_FAILED',
      'The sandbox cannot be reached: its runner is lost, or has its files no more',
    )
  throw new AppError('SANDBOX_START_FAILED', `The sandbox is ${shown}, so it did not become started`)
}

function timeout(id: string, waitMs: number): AppError {
  return new AppError('SANDBOX_START_TIMEOUT', `Sandbox ${id} did not start within ${waitMs / 1000} seconds`)
}
