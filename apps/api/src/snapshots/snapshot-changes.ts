import type { StoredSnapshotState } from '@atoll/protocol'
import { storedSnapshotStates } from '@atoll/protocol'
import type { DatabaseListener } from '../database/listener.ts'
import type { RowChanges } from '../reconciliation/row-changes.ts'
import { createRowChanges } from '../reconciliation/row-changes.ts'

export type SnapshotChanges = RowChanges<StoredSnapshotState>

/** Subscribes to the channel; call it before the listener starts. */
export function createSnapshotChanges(listener: Pick<DatabaseListener, 'subscribe'>): SnapshotChanges {
  return createRowChanges({ listener, channel: 'snapshot_changed', states: storedSnapshotStates })
}
