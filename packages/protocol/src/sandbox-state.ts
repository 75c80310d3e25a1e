import { Type } from 'typebox'

/**
 * What a sandbox is, as far as the control plane knows. `creating`: nothing has to exist on the runner yet.
 * `stopped`: its files exist there. `started`: it runs and its toolbox was connected. `archived`: its files are in the
 * object store and on no runner. `pending_build`, `building_snapshot` and `pulling_snapshot`: its snapshot is being
 * built, or brought to its runner; `build_failed`: there will be none. docs/spec/sandbox-state.md
 */
export const storedSandboxStates = [
  ...['pending_build', 'building_snapshot', 'build_failed', 'pulling_snapshot'],
  ...['creating', 'stopped', 'started', 'archived', 'destroyed', 'error'],
] as const
export type StoredSandboxState = (typeof storedSandboxStates)[number]

/** What a sandbox shall become. `resized` is what it is already, with other resources. */
export const desiredSandboxStates = ['started', 'stopped', 'archived', 'resized', 'destroyed'] as const
export type DesiredSandboxState = (typeof desiredSandboxStates)[number]

/**
 * What a sandbox in error is again once it has been recovered: its files are on its runner, or in the object store. One
 * whose runner is lost is `archived` again, with the files of its backup.
 */
export const recoverableStates = ['stopped', 'archived'] as const
export type RecoverableState = (typeof recoverableStates)[number]

/** What clients see: derived from the stored and the desired state, so that a command shows at once. */
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

/** While a snapshot is made of it, a sandbox that runs or has stopped shows so. */
export const ShownSandboxState = Type.Enum([...sandboxStates, 'snapshotting'])

export const DesiredState = Type.Enum([...desiredSandboxStates])

/** The states a row carries, and since when (milliseconds since the epoch) its shown state stands. */
export interface SandboxLifecycle {
  readonly state: StoredSandboxState
  readonly desiredState: DesiredSandboxState
  /** Null unless in an error, or on a lost runner, that can be recovered from. */
  readonly recoverableTo: RecoverableState | null
  /** Its files are on a runner that has not been heard of for long; both states are what they were then. */
  readonly lost: boolean
  readonly changedAt: number
}

/** A shown state, told apart where what looks alike goes on differently. The rows of the state table. */
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

/** Whether a row may carry these two: what is missing above is never stored. */
export function isStorableState(state: StoredSandboxState, desiredState: DesiredSandboxState): boolean {
  return state === 'error' || desiredState === 'destroyed' || phaseByDesire[state][desiredState] !== undefined
}

/** The row of the state table that holds for a sandbox. */
export function phaseOf(lifecycle: Omit<SandboxLifecycle, 'changedAt'>): SandboxPhase {
  const { state, desiredState, recoverableTo, lost } = lifecycle
  if (desiredState === 'destroyed') return state === 'destroyed' ? 'destroyed' : 'destroying'
  if (lost) return recoverableTo === null ? 'lost' : 'lostWithBackup'
  if (state === 'error') return failures[recoverableTo ?? 'never']
  return phaseByDesire[state][desiredState] ?? 'failed'
}

const failures = { never: 'failed', stopped: 'failedStopped', archived: 'failedArchived' } as const

/** What clients see of a phase. */
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

/** The state a client sees (§6 of the contract). A sandbox marked for deletion shows so whatever it was. */
export function shownState({
  state,
  desiredState,
  lost,
}: Pick<SandboxLifecycle, 'state' | 'desiredState' | 'lost'>): SandboxState {
  return shownOf(phaseOf({ state, desiredState, lost, recoverableTo: null }))
}
