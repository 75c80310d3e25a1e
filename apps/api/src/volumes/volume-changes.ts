import type { VolumeState } from '@atoll/protocol'
import { volumeStates } from '@atoll/protocol'
import type { DatabaseListener } from '../database/listener.ts'
import type { RowChanges } from '../reconciliation/row-changes.ts'
import { createRowChanges } from '../reconciliation/row-changes.ts'

export type VolumeChanges = RowChanges<VolumeState>

/** Subscribes to the channel; call it before the listener starts. */
export function createVolumeChanges(listener: Pick<DatabaseListener, 'subscribe'>): VolumeChanges {
  return createRowChanges({ listener, channel: 'volume_changed', states: volumeStates })
}
