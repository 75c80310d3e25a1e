import type { Refusal } from './sandbox-state-table.ts'
import type { VolumeState } from './volume-state.ts'

/** The command comes from users; reports from the reconciler's steps, `gone` from the removal of its runner, which was lost. */
export const volumeCommands = ['delete'] as const
export const volumeReports = ['creation_begun', 'created', 'deletion_begun', 'deleted', 'failed', 'gone'] as const
export const volumeEvents = [...volumeCommands, ...volumeReports] as const
export type VolumeEvent = (typeof volumeEvents)[number]
export type VolumeReport = (typeof volumeReports)[number]

const notReady: Refusal = { code: 'VOLUME_STATE_CONFLICT', message: 'Volume is not ready' }

/** A next state, `same` for an event that changes nothing (repeated or late), or a refusal. */
type Cell = VolumeState | 'same' | Refusal

/** The default for reports: one that does not fit the state changes nothing. */
const late = {
  ...{ creation_begun: 'same', created: 'same', deletion_begun: 'same', deleted: 'same', failed: 'same' },
  gone: 'same',
} as const satisfies Record<VolumeReport, Cell>

/** The effect of each event in each state. A new state or event does not compile until every cell is filled in. */
export const volumeStateTable: Record<VolumeState, Record<VolumeEvent, Cell>> = {
  pending_create: { delete: notReady, ...late, creation_begun: 'creating', failed: 'error', gone: 'error' },
  creating: { delete: notReady, ...late, created: 'ready', failed: 'error', gone: 'error' },
  ready: { delete: 'pending_delete', ...late, gone: 'error' },
  // A deletion is never given up: the runner that holds the files may come back.
  pending_delete: { delete: 'same', ...late, deletion_begun: 'deleting', gone: 'deleted' },
  deleting: { delete: 'same', ...late, deleted: 'deleted', gone: 'deleted' },
  deleted: { delete: 'same', ...late },
  // A volume that could not be made can be deleted, or it would stay for ever.
  error: { delete: 'pending_delete', ...late },
}

/** The outcome of one event. */
export type VolumeTransition =
  | { kind: 'changed'; from: VolumeState; to: VolumeState }
  | { kind: 'same' }
  | { kind: 'refused'; refusal: Refusal }

/** Applies `event`. Pure. */
export function volumeTransition(state: VolumeState, event: VolumeEvent): VolumeTransition {
  const cell = volumeStateTable[state][event]
  if (typeof cell === 'object') return { kind: 'refused', refusal: cell }
  return cell === 'same' ? { kind: 'same' } : { kind: 'changed', from: state, to: cell }
}

/** The next step of a reconciler; `none` if nothing is due. */
export type VolumeStep = 'begin' | 'create' | 'delete' | 'none'

export const volumeSteps: Record<VolumeState, VolumeStep> = {
  pending_create: 'begin',
  creating: 'create',
  ready: 'none',
  pending_delete: 'begin',
  deleting: 'delete',
  deleted: 'none',
  error: 'none',
}
