import { Type } from 'typebox'

/** The states of a snapshot: §9 of the contract. docs/spec/snapshot-state.md */
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

/** The states that a row can hold: `removed` is never shown. */
export const storedSnapshotStates = [...snapshotStates, 'removed'] as const
export type StoredSnapshotState = (typeof storedSnapshotStates)[number]
