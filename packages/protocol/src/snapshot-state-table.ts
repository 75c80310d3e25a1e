import type { Refusal } from './sandbox-state-table.ts'
import type { StoredSnapshotState } from './snapshot-state.ts'

/** Commands come from users; reports from the reconciler's steps and from its sweep. */
export const snapshotCommands = ['activate', 'deactivate', 'delete'] as const
export const snapshotReports = [
  'build_begun',
  'built',
  'pull_begun',
  'pulled',
  'captured',
  'validation_begun',
  'validated',
  'unused',
  'failed',
  'removed',
] as const
export const snapshotEvents = [...snapshotCommands, ...snapshotReports] as const
export type SnapshotCommand = (typeof snapshotCommands)[number]
export type SnapshotReport = (typeof snapshotReports)[number]
export type SnapshotEvent = (typeof snapshotEvents)[number]

const alreadyActive: Refusal = { code: 'SNAPSHOT_STATE_CONFLICT', message: 'Snapshot is already active' }
const notInactive: Refusal = { code: 'SNAPSHOT_STATE_CONFLICT', message: 'Snapshot is not inactive' }
const notActive: Refusal = { code: 'SNAPSHOT_STATE_CONFLICT', message: 'Snapshot is not active' }

/** A next state, `same` for an event that changes nothing (repeated or late), or a refusal. */
type Cell = StoredSnapshotState | 'same' | Refusal

/** The default for reports: one that does not fit the state changes nothing. */
const late = {
  ...{ build_begun: 'same', built: 'same', pull_begun: 'same', pulled: 'same', captured: 'same' },
  ...{ validation_begun: 'same', validated: 'same', unused: 'same', failed: 'same', removed: 'same' },
} as const satisfies Record<SnapshotReport, Cell>

/** The row of a snapshot on its way to `active`. */
const underWay = {
  ...{ activate: notInactive, deactivate: notActive, delete: 'removing' },
  ...late,
  failed: 'error',
} as const satisfies Record<SnapshotEvent, Cell>

/** The effect of each event in each state. A new state or event does not compile until every cell is filled in. */
export const snapshotStateTable: Record<StoredSnapshotState, Record<SnapshotEvent, Cell>> = {
  build_pending: { ...underWay, build_begun: 'building', failed: 'build_failed' },
  building: { ...underWay, built: 'pending', failed: 'build_failed' },
  pending: { ...underWay, pull_begun: 'pulling' },
  pulling: { ...underWay, pulled: 'pending_validation' },
  // A snapshot of a sandbox needs no validation: the sandbox ran on these files.
  snapshotting: { ...underWay, captured: 'active' },
  pending_validation: { ...underWay, validation_begun: 'validating' },
  validating: { ...underWay, validated: 'active' },
  active: {
    ...{ activate: alreadyActive, deactivate: 'inactive', delete: 'removing' },
    ...late,
    unused: 'inactive',
  },
  inactive: { activate: 'active', deactivate: notActive, delete: 'removing', ...late },
  error: { activate: notInactive, deactivate: notActive, delete: 'removing', ...late },
  build_failed: { activate: notInactive, deactivate: notActive, delete: 'removing', ...late },
  // A removal is never given up: a runner that has the snapshot may come back.
  removing: { activate: notInactive, deactivate: notActive, delete: 'same', ...late, removed: 'removed' },
  removed: { activate: notInactive, deactivate: notActive, delete: 'same', ...late },
}

/** The outcome of one event. */
export type SnapshotTransition =
  | { kind: 'changed'; from: StoredSnapshotState; to: StoredSnapshotState }
  | { kind: 'same' }
  | { kind: 'refused'; refusal: Refusal }

/** Applies `event`. Pure. */
export function snapshotTransition(state: StoredSnapshotState, event: SnapshotEvent): SnapshotTransition {
  const cell = snapshotStateTable[state][event]
  if (typeof cell === 'object') return { kind: 'refused', refusal: cell }
  return cell === 'same' ? { kind: 'same' } : { kind: 'changed', from: state, to: cell }
}

/**
 * The next step of a reconciler. `make` has a runner make the snapshot and reports the progress. A snapshot in removal is
 * left to the sweep, which looks at every runner.
 */
export type SnapshotStep = 'make' | 'none'

export const snapshotSteps: Record<StoredSnapshotState, SnapshotStep> = {
  build_pending: 'make',
  building: 'make',
  pending: 'make',
  pulling: 'make',
  snapshotting: 'make',
  pending_validation: 'make',
  validating: 'make',
  active: 'none',
  inactive: 'none',
  error: 'none',
  build_failed: 'none',
  removing: 'none',
  removed: 'none',
}
