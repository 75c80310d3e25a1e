import type { ErrorCode } from './errors.ts'
import {
  phaseOf,
  type RecoverableState,
  type SandboxLifecycle,
  type SandboxPhase,
  type SandboxState,
  shownOf,
  shownState,
} from './sandbox-state.ts'

/**
 * Commands come from users and timers. Reports come from the reconciler's steps, with these exceptions: the first four
 * come from the follower of the snapshot that a sandbox waits for, `exited` from the runner on its own, and the last
 * four from the code that watches runners.
 */
export const sandboxCommands = [
  ...['start', 'stop', 'resize', 'archive', 'fork', 'recover', 'recoverStopped', 'delete'],
] as const
export const sandboxReports = [
  ...['buildBegun', 'built', 'buildFailed', 'pulled'],
  ...['made', 'restored', 'ready', 'halted', 'resized', 'saved', 'unsaved', 'removed', 'exited', 'failed'],
  ...['lost', 'lostWithBackup', 'reached', 'gone'],
] as const
export const sandboxEvents = [...sandboxCommands, ...sandboxReports] as const
export type SandboxCommand = (typeof sandboxCommands)[number]
export type SandboxReport = (typeof sandboxReports)[number]
export type SandboxEvent = (typeof sandboxEvents)[number]

/** Why a command is refused; the messages are the contract's. */
export interface Refusal {
  readonly code: ErrorCode
  readonly message: string
}

const inProgress = refusal('Sandbox state change in progress')
const notValid = refusal('Sandbox is not in valid state')
const notStarted = refusal('Sandbox is not started')
const notStopped = refusal('Sandbox is not stopped')
const notRecoverable = refusal('Sandbox is not in a recoverable error state')
const unreachable = refusal('Sandbox cannot be reached: its runner is lost')

function refusal(message: string): Refusal {
  return { code: 'SANDBOX_STATE_CONFLICT', message }
}

/**
 * The next phase, `same` for an event that changes nothing (repeated or late), `asBefore` for the phase before the
 * runner was lost, or a refusal.
 */
type Cell = SandboxPhase | 'same' | 'asBefore' | Refusal
type Row = Record<SandboxEvent, Cell>

/** A report of a step that is not due in the phase changes nothing. */
const deaf = {
  ...{ buildBegun: 'same', built: 'same', buildFailed: 'same', pulled: 'same' },
  ...{ made: 'same', restored: 'same', ready: 'same', halted: 'same', resized: 'same' },
  ...{ saved: 'same', unsaved: 'same', removed: 'same', exited: 'same', failed: 'same' },
  ...{ lost: 'same', lostWithBackup: 'same', reached: 'same', gone: 'same' },
} as const satisfies Record<SandboxReport, Cell>

/** A step is under way, and only a deletion cancels it. */
const busy = {
  ...{ start: inProgress, stop: inProgress, resize: inProgress, archive: inProgress, fork: inProgress },
  ...{ recover: notRecoverable, recoverStopped: notRecoverable, delete: 'destroying' },
} as const satisfies Record<SandboxCommand, Cell>

const idle = {
  ...{ recover: notRecoverable, recoverStopped: notRecoverable, delete: 'destroying' },
} as const satisfies Partial<Record<SandboxCommand, Cell>>

/** The sandbox is in error. Besides recovery, only a deletion is possible. */
const given = {
  ...{ start: notValid, stop: notValid, resize: notValid, archive: notValid, fork: notValid, delete: 'destroying' },
} as const satisfies Partial<Record<SandboxCommand, Cell>>

/** The sandbox's files are on its runner, which may be lost. */
const onRunner = { ...deaf, lost: 'lost', lostWithBackup: 'lostWithBackup' } as const

/** The sandbox's runner is lost, so what it does there is unknown. */
const cutOff = {
  ...{ start: unreachable, stop: unreachable, resize: unreachable, archive: unreachable, fork: unreachable },
  ...deaf,
  delete: 'destroying',
  reached: 'asBefore',
} as const satisfies Partial<Record<SandboxEvent, Cell>>

/** The effect of each event in each phase. Total: a new phase or event does not compile until every cell is decided. */
export const sandboxStateTable: Readonly<Record<SandboxPhase, Row>> = {
  pendingBuild: {
    ...busy,
    ...deaf,
    ...{ buildBegun: 'buildingSnapshot', built: 'pullingSnapshot', buildFailed: 'buildFailed', failed: 'failed' },
  },
  buildingSnapshot: {
    ...busy,
    ...deaf,
    ...{ built: 'pullingSnapshot', buildFailed: 'buildFailed', failed: 'failed' },
  },
  buildFailed: { ...given, ...deaf, recover: notRecoverable, recoverStopped: notRecoverable },
  // On the runner that built it, the snapshot is found at once.
  pullingSnapshot: { ...busy, ...deaf, pulled: 'creating', failed: 'failed' },
  creating: { ...busy, ...deaf, made: 'starting', failed: 'failed' },
  restoring: { ...busy, ...deaf, restored: 'starting', failed: 'failedArchived' },
  // `exited` changes nothing: the step that starts the sandbox sees its end as well, and decides whether to try again.
  starting: { ...busy, ...onRunner, ready: 'started', failed: 'failedStopped' },
  started: {
    ...idle,
    ...onRunner,
    ...{ start: notValid, stop: 'stopping', resize: 'resizingStarted', archive: notStopped, fork: 'same' },
    exited: 'stopped',
  },
  stopping: { ...busy, ...onRunner, halted: 'stopped', exited: 'stopped', failed: 'failedStopped' },
  stopped: {
    ...idle,
    ...onRunner,
    ...{ start: 'starting', stop: notStarted, resize: 'resizingStopped', archive: 'archiving', fork: 'same' },
  },
  resizingStarted: { ...busy, ...onRunner, resized: 'started', exited: 'resizingStopped', failed: 'failedStopped' },
  resizingStopped: { ...busy, ...onRunner, resized: 'stopped', failed: 'failedStopped' },
  // The object store may be away for long. The files are still on the runner then, and need no recovery.
  archiving: { ...busy, ...onRunner, saved: 'archived', unsaved: 'stopped', failed: 'failedStopped' },
  archived: {
    ...idle,
    ...deaf,
    ...{ start: 'restoring', stop: notStarted, resize: notValid, archive: notStopped, fork: notValid },
  },
  // A deletion is never given up: the runner may come back.
  destroying: { ...busy, ...deaf, delete: 'same', removed: 'destroyed' },
  destroyed: {
    ...deaf,
    ...{ start: notValid, stop: notValid, resize: notValid, archive: notValid, fork: notValid },
    ...{ recover: notRecoverable, recoverStopped: notRecoverable, delete: 'same' },
  },
  failed: { ...given, ...deaf, recover: notRecoverable, recoverStopped: notRecoverable },
  failedStopped: { ...given, ...onRunner, recover: 'starting', recoverStopped: 'stopped' },
  failedArchived: { ...given, ...deaf, recover: 'restoring', recoverStopped: 'archived' },
  lost: { ...cutOff, recover: notRecoverable, recoverStopped: notRecoverable, gone: 'failed' },
  // A recovery takes the files of the backup, on another runner.
  lostWithBackup: { ...cutOff, recover: 'restoring', recoverStopped: 'archived', gone: 'archived' },
}

/** The outcome of one event. `durationMs` is how long the state that ended had stood. */
export type Transition =
  | { kind: 'changed'; next: SandboxLifecycle; from: SandboxState; to: SandboxState; durationMs: number }
  | { kind: 'same' }
  | { kind: 'refused'; refusal: Refusal }

/** Applies `event` at `now` (milliseconds since the epoch). Pure. */
export function transition(current: SandboxLifecycle, event: SandboxEvent, now: number): Transition {
  const phase = phaseOf(current)
  const cell = sandboxStateTable[phase][event]
  if (typeof cell === 'object') return { kind: 'refused', refusal: cell }
  if (cell === 'same') return { kind: 'same' }
  const next = { ...(cell === 'asBefore' ? beforeLoss(current) : stored(current, cell)), changedAt: now }
  const durationMs = Math.max(0, now - current.changedAt)
  return { kind: 'changed', next, from: shownOf(phase), to: shownState(next), durationMs }
}

type States = Pick<SandboxLifecycle, 'state' | 'desiredState' | 'recoverableTo' | 'lost'>

/** Returns the states before the loss. A sandbox in error whose files are on a runner can be recovered from there. */
function beforeLoss({ state, desiredState }: SandboxLifecycle): States {
  return { state, desiredState, recoverableTo: state === 'error' ? 'stopped' : null, lost: false }
}

/**
 * Returns the states of a phase, as the inverse of `phaseOf`. A sandbox that is being destroyed keeps its state until
 * it is gone.
 */
function stored(current: SandboxLifecycle, phase: SandboxPhase): States {
  const pair = (state: States['state'], desiredState: States['desiredState']): States => {
    return { state, desiredState, recoverableTo: null, lost: false }
  }
  const error = (recoverableTo: RecoverableState | null): States => {
    return { state: 'error', desiredState: current.desiredState, recoverableTo, lost: false }
  }
  switch (phase) {
    case 'pendingBuild':
      return pair('pending_build', 'started')
    case 'buildingSnapshot':
      return pair('building_snapshot', 'started')
    case 'buildFailed':
      return pair('build_failed', 'started')
    case 'pullingSnapshot':
      return pair('pulling_snapshot', 'started')
    case 'creating':
      return pair('creating', 'started')
    case 'restoring':
      return pair('archived', 'started')
    case 'starting':
      return pair('stopped', 'started')
    case 'started':
      return pair('started', 'started')
    case 'stopping':
      return pair('started', 'stopped')
    case 'stopped':
      return pair('stopped', 'stopped')
    case 'resizingStarted':
      return pair('started', 'resized')
    case 'resizingStopped':
      return pair('stopped', 'resized')
    case 'archiving':
      return pair('stopped', 'archived')
    case 'archived':
      return pair('archived', 'archived')
    case 'destroying':
      return pair(current.state, 'destroyed')
    case 'destroyed':
      return pair('destroyed', 'destroyed')
    case 'failed':
      return error(null)
    case 'failedStopped':
      return error('stopped')
    case 'failedArchived':
      return error('archived')
    // Both states stay, so that the sandbox goes on from them when the runner returns.
    case 'lost':
      return { ...pair(current.state, current.desiredState), lost: true }
    case 'lostWithBackup':
      return { ...pair(current.state, current.desiredState), recoverableTo: 'archived', lost: true }
  }
}

/**
 * The next step of a reconciler on the runner; `none` when the state is the desired one, is a failure, or waits for the
 * snapshot or the runner.
 */
export type SandboxStep = 'make' | 'restore' | 'start' | 'stop' | 'resize' | 'archive' | 'remove' | 'none'

export const sandboxSteps: Readonly<Record<SandboxState, SandboxStep>> = {
  pending_build: 'none',
  building_snapshot: 'none',
  build_failed: 'none',
  pulling_snapshot: 'none',
  creating: 'make',
  restoring: 'restore',
  starting: 'start',
  started: 'none',
  stopping: 'stop',
  stopped: 'none',
  resizing: 'resize',
  archiving: 'archive',
  archived: 'none',
  destroying: 'remove',
  destroyed: 'none',
  error: 'none',
  unknown: 'none',
}
