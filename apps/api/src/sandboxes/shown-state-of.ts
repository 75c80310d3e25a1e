import type { SandboxState } from '@atoll/protocol'
import { shownState } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

type Shown = SandboxState | 'snapshotting'

/** Returns the state of a row that clients see. */
export function shownStateOf(row: Pick<SandboxRow, 'state' | 'desiredState' | 'lost' | 'snapshottingId'>): Shown {
  return whileSnapshotting(row, shownState(row))
}

/** Returns `snapshotting` while a snapshot is made of a sandbox that is started or stopped; any other state is shown instead. */
export function whileSnapshotting({ snapshottingId }: Pick<SandboxRow, 'snapshottingId'>, state: SandboxState): Shown {
  return snapshottingId !== null && (state === 'started' || state === 'stopped') ? 'snapshotting' : state
}
