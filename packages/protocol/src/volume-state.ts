import { Type } from 'typebox'

/** What a volume can be: §10 of the contract. docs/spec/volume-state.md */
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
