import { Type } from 'typebox'

/**
 * What a sandbox is, as far as the control plane knows. `creating`: nothing has to exist on the runner yet.
 * `stopped`: its files exist. `started`: it runs and its toolbox was connected. docs/spec/sandbox-state.md
 */
export const storedSandboxStates = ['creating', 'stopped', 'started', 'destroyed', 'error'] as const
export type StoredSandboxState = (typeof storedSandboxStates)[number]

/** What a sandbox shall become. */
export const desiredSandboxStates = ['started', 'stopped', 'destroyed'] as const
export type DesiredSandboxState = (typeof desiredSandboxStates)[number]

/** What clients see: derived from the stored and the desired state, so that a command shows at once. */
export const sandboxStates = [
  'creating',
  'starting',
  'started',
  'stopping',
  'stopped',
  'destroying',
  'destroyed',
  'error',
] as const
export const SandboxState = Type.Enum([...sandboxStates])
export type SandboxState = (typeof sandboxStates)[number]

export const DesiredState = Type.Enum([...desiredSandboxStates])

/** The two states a row carries, and since when (milliseconds since the epoch) its shown state stands. */
export interface SandboxLifecycle {
  readonly state: StoredSandboxState
  readonly desiredState: DesiredSandboxState
  readonly changedAt: number
}

/** The state a client sees (§6 of the contract). A sandbox marked for deletion shows so whatever it was. */
export function shownState(lifecycle: Pick<SandboxLifecycle, 'state' | 'desiredState'>): SandboxState {
  const { state, desiredState } = lifecycle
  if (state === 'destroyed' || desiredState === 'destroyed') return state === 'destroyed' ? 'destroyed' : 'destroying'
  if (state === 'started' && desiredState === 'stopped') return 'stopping'
  if (state === 'stopped' && desiredState === 'started') return 'starting'
  return state
}
