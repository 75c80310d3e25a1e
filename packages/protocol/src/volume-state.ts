import { Type } from 'typebox'

/** The states of a volume: §10 of the contract. docs/spec/volume-state.md */
export const volumeStates = [
  'pending_create',
  'creating',
  'ready',
  'pending_delete',
  'deleting',
  'deleted',
  'error',
] as const
export type VolumeState = (typeof volumeStates)[number]
export const VolumeState = Type.Enum([...volumeStates])
