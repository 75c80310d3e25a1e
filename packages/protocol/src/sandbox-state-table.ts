import type { ErrorCode } from './errors.ts'
import { type SandboxLifecycle, type SandboxState, shownState } from './sandbox-state.ts'

/** Commands come from users; reports from the reconciler's steps, `exited` from the runner on its own. */
export const sandboxCommands = ['start', 'stop', 'delete'] as const
export const sandboxReports = ['made', 'ready', 'halted', 'removed', 'exited', 'failed'] as const
export const sandboxEvents = [...sandboxCommands, ...sandboxReports] as const
export type SandboxCommand = (typeof sandboxCommands)[number]
export type SandboxReport = (typeof sandboxReports)[number]
export type SandboxEvent = (typeof sandboxEvents)[number]

/** Why a command is refused; the messages are the contract's. */
export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}

const inProgress: Refusal = { code: 'SANDBOX_STATE_CONFLICT', message: 'Sandbox state change in progress' }
const notValid: Refusal = { code: 'SANDBOX_STATE_CONFLICT', message: 'Sandbox is not in valid state' }
const notStarted: Refusal = { code: 'SANDBOX_STATE_CONFLICT', message: 'Sandbox is not started' }

/** A next state, `same` for an event that changes nothing (repeated or late), or a refusal. */
type Cell = SandboxState | 'same' | Refusal

/** What each event does in each state. Total: a new state or event does not compile until every cell is decided. */
export const sandboxStateTable: Record<SandboxState, Record<SandboxEvent, Cell>> = {
  creating: {
    start: inProgress,
    stop: inProgress,
    delete: 'destroying',
    made: 'starting',
    ready: 'same',
    halted: 'same',
    removed: 'same',
    exited: 'same',
    failed: 'error',
  },
  starting: {
    start: inProgress,
    stop: inProgress,
    delete: 'destroying',
    made: 'same',
    ready: 'started',
    halted: 'same',
    removed: 'same',
    // The step that starts it sees the same end, and decides whether to try again.
    exited: 'same',
    failed: 'error',
  },
  started: {
    start: notValid,
    stop: 'stopping',
    delete: 'destroying',
    made: 'same',
    ready: 'same',
    halted: 'same',
    removed: 'same',
    exited: 'stopped',
    failed: 'same',
  },
  stopping: {
    start: inProgress,
    stop: inProgress,
    delete: 'destroying',
    made: 'same',
    ready: 'same',
    halted: 'stopped',
    removed: 'same',
    exited: 'stopped',
    failed: 'error',
  },
  stopped: {
    start: 'starting',
    stop: notStarted,
    delete: 'destroying',
    made: 'same',
    ready: 'same',
    halted: 'same',
    removed: 'same',
    exited: 'same',
    failed: 'same',
  },
  destroying: {
    start: inProgress,
    stop: inProgress,
    delete: 'same',
    made: 'same',
    ready: 'same',
    halted: 'same',
    removed: 'destroyed',
    exited: 'same',
    // A deletion is never given up: its runner may come back.
    failed: 'same',
  },
  destroyed: {
    start: notValid,
    stop: notValid,
    delete: 'same',
    made: 'same',
    ready: 'same',
    halted: 'same',
    removed: 'same',
    exited: 'same',
    failed: 'same',
  },
  error: {
    start: notValid,
    stop: notValid,
    delete: 'destroying',
    made: 'same',
    ready: 'same',
    halted: 'same',
    removed: 'same',
    exited: 'same',
    failed: 'same',
  },
}

/** The outcome of one event. `durationMs` is how long the state that ended had stood. */
export type Transition =
  | { kind: 'changed'; next: SandboxLifecycle; from: SandboxState; to: SandboxState; durationMs: number }
  | { kind: 'same' }
  | { kind: 'refused'; refusal: Refusal }

/** Applies `event` at `now` (milliseconds since the epoch). Pure. */
export function transition(current: SandboxLifecycle, event: SandboxEvent, now: number): Transition {
  const from = shownState(current)
  const cell = sandboxStateTable[from][event]
  if (typeof cell === 'object') return { kind: 'refused', refusal: cell }
  if (cell === 'same') return { kind: 'same' }
  const next = { ...stored(current, cell), changedAt: now }
  return { kind: 'changed', next, from, to: cell, durationMs: Math.max(0, now - current.changedAt) }
}

/** The inverse of `shownState`. What is being destroyed stays what it was until it is gone. */
function stored(current: SandboxLifecycle, shown: SandboxState): Pick<SandboxLifecycle, 'state' | 'desiredState'> {
  switch (shown) {
    case 'creating':
      return { state: 'creating', desiredState: 'started' }
    case 'starting':
      return { state: 'stopped', desiredState: 'started' }
    case 'started':
      return { state: 'started', desiredState: 'started' }
    case 'stopping':
      return { state: 'started', desiredState: 'stopped' }
    case 'stopped':
      return { state: 'stopped', desiredState: 'stopped' }
    case 'destroying':
      return { state: current.state, desiredState: 'destroyed' }
    case 'destroyed':
      return { state: 'destroyed', desiredState: 'destroyed' }
    case 'error':
      return { state: 'error', desiredState: current.desiredState }
  }
}

/** What a reconciler does next on the runner; `none` where the state is the desired one or has given up. */
export type SandboxStep = 'make' | 'start' | 'stop' | 'remove' | 'none'

export const sandboxSteps: Record<SandboxState, SandboxStep> = {
  creating: 'make',
  starting: 'start',
  started: 'none',
  stopping: 'stop',
  stopped: 'none',
  destroying: 'remove',
  destroyed: 'none',
  error: 'none',
}
