import { Type } from 'typebox'

/** What a snapshot can be: §9 of the contract. docs/spec/snapshot-state.md */
export const snapshotStates = [
  'build_pending',
  'building',
  'pending',
  'pulling',
  'snapshotting',
  'pending_validation',
  'validating',
  'active',
  'inactive',
  'error',
  'build_failed',
  'removing',
] as const
export type SnapshotState = (typeof snapshotStates)[number]
export const SnapshotState = Type.Enum([...snapshotStates])

/** What a row can hold: `removed` is shown to nobody. */
export const storedSnapshotStates = [...snapshotStates, 'removed'] as const
export type StoredSnapshotState = (typeof storedSnapshotStates)[number]
