import type { SandboxState } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

type Shown = SandboxState | 'snapshotting'

/** What clients see of a row. */
export function shownStateOf(row: Pick<SandboxRow, 'state' | 'desiredState' | 'lost' | 'snapshottingId'>): Shown {
  return whileSnapshotting(row, shownState(row))
}

/** Only what does nothing else shows that a snapshot is made of it. */
export function whileSnapshotting({ snapshottingId }: Pick<SandboxRow, 'snapshottingId'>, state: SandboxState): Shown {
  return snapshottingId !== null && (state === 'started' || state === 'stopped') ? 'snapshotting' : state
}
