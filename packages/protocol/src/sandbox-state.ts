import { Type } from 'typebox'

/**
 * The state of a sandbox as the control plane knows it. `creating`: there may be nothing on the runner yet. `stopped`:
 * its files exist there. `started`: it runs and its toolbox was connected. `archived`: its files are in the object store
 * and on no runner. `pending_build`, `building_snapshot` and `pulling_snapshot`: its snapshot is being built, or brought
 * to its runner; `build_failed`: there will be no snapshot. docs/spec/sandbox-state.md
 */
export const storedSandboxStates = [
  ...['pending_build', 'building_snapshot', 'build_failed', 'pulling_snapshot'],
  ...['creating', 'stopped', 'started', 'archived', 'destroyed', 'error'],
] as const
export type StoredSandboxState = (typeof storedSandboxStates)[number]

/** The states that can be asked of a sandbox. `resized` keeps its present state, with other resources. */
export const desiredSandboxStates = ['started', 'stopped', 'archived', 'resized', 'destroyed'] as const
export type DesiredSandboxState = (typeof desiredSandboxStates)[number]

/**
 * The states to which a sandbox in an error can be recovered: its files are on its runner, or in the object store. A
 * sandbox whose runner is lost becomes `archived`, with the files of its backup.
 */
export const recoverableStates = ['stopped', 'archived'] as const
export type RecoverableState = (typeof recoverableStates)[number]

/** The states that clients see, derived from the stored and the desired state, so that a command shows at once. */
export const sandboxStates = [
  'pending_build',
  'building_snapshot',
  'build_failed',
  'pulling_snapshot',
  'creating',
  'restoring',
  'starting',
  'started',
  'stopping',
  'stopped',
  'resizing',
  'archiving',
  'archived',
  'destroying',
  'destroyed',
  'error',
  'unknown',
] as const
export const SandboxState = Type.Enum([...sandboxStates])
export type SandboxState = (typeof sandboxStates)[number]

/** The shown states, with `snapshotting` for a started or stopped sandbox while a snapshot is made of it. */
export const ShownSandboxState = Type.Enum([...sandboxStates, 'snapshotting'])

export const DesiredState = Type.Enum([...desiredSandboxStates])

/** The states of a row; `changedAt` is when its shown state began, in milliseconds since the epoch. */
export interface SandboxLifecycle {
  readonly state: StoredSandboxState
  readonly desiredState: DesiredSandboxState
  /** Null unless the sandbox is in an error, or on a lost runner, and can be recovered. */
  readonly recoverableTo: RecoverableState | null
  /** The sandbox's runner, with its files, has not been heard of for long. Both states stay as they were before. */
  readonly lost: boolean
  readonly changedAt: number
}

/** The rows of the state table: the shown states, split where sandboxes that look alike continue differently. */
export const sandboxPhases = [
  ...['creating', 'restoring', 'starting', 'started', 'stopping', 'stopped'],
  ...['resizingStarted', 'resizingStopped', 'archiving', 'archived', 'destroying', 'destroyed'],
  ...['failed', 'failedStopped', 'failedArchived'],
  ...['pendingBuild', 'buildingSnapshot', 'buildFailed', 'pullingSnapshot'],
  ...['lost', 'lostWithBackup'],
] as const
export type SandboxPhase = (typeof sandboxPhases)[number]

const phaseByDesire: Readonly<Record<StoredSandboxState, Partial<Record<DesiredSandboxState, SandboxPhase>>>> = {
  pending_build: { started: 'pendingBuild' },
  building_snapshot: { started: 'buildingSnapshot' },
  build_failed: { started: 'buildFailed' },
  pulling_snapshot: { started: 'pullingSnapshot' },
  creating: { started: 'creating' },
  stopped: { started: 'starting', stopped: 'stopped', archived: 'archiving', resized: 'resizingStopped' },
  started: { started: 'started', stopped: 'stopping', resized: 'resizingStarted' },
  archived: { started: 'restoring', archived: 'archived' },
  destroyed: { destroyed: 'destroyed' },
  error: {},
}

/** Returns whether a row may hold this pair of states: a pair that is missing in `phaseByDesire` is never stored. */
export function isStorableState(state: StoredSandboxState, desiredState: DesiredSandboxState): boolean {
  return state === 'error' || desiredState === 'destroyed' || phaseByDesire[state][desiredState] !== undefined
}

/** Returns the phase of a sandbox. */
export function phaseOf(lifecycle: Omit<SandboxLifecycle, 'changedAt'>): SandboxPhase {
  const { state, desiredState, recoverableTo, lost } = lifecycle
  if (desiredState === 'destroyed') return state === 'destroyed' ? 'destroyed' : 'destroying'
  if (lost) return recoverableTo === null ? 'lost' : 'lostWithBackup'
  if (state === 'error') return failures[recoverableTo ?? 'never']
  return phaseByDesire[state][desiredState] ?? 'failed'
}

const failures = { never: 'failed', stopped: 'failedStopped', archived: 'failedArchived' } as const

/** Returns the state that clients see for a phase. */
export function shownOf(phase: SandboxPhase): SandboxState {
  switch (phase) {
    case 'resizingStarted':
    case 'resizingStopped':
      return 'resizing'
    case 'failed':
    case 'failedStopped':
    case 'failedArchived':
      return 'error'
    case 'pendingBuild':
      return 'pending_build'
    case 'buildingSnapshot':
      return 'building_snapshot'
    case 'buildFailed':
      return 'build_failed'
    case 'pullingSnapshot':
      return 'pulling_snapshot'
    case 'lost':
    case 'lostWithBackup':
      return 'unknown'
    default:
      return phase
  }
}

/** Returns the state that clients see (§6 of the contract). A sandbox marked for deletion shows that, whatever its state. */
export function shownState({
  state,
  desiredState,
  lost,
}: Pick<SandboxLifecycle, 'state' | 'desiredState' | 'lost'>): SandboxState {
  return shownOf(phaseOf({ state, desiredState, lost, recoverableTo: null }))
}
