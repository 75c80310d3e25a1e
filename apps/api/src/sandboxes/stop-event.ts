import { phaseOf, sandboxStateTable } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/**
 * Returns the event for a stop: `delete` for a sandbox that is deleted when it stops (§6), else `stop`. While a snapshot is
 * made of the sandbox it is `stop`, which is refused, because a deletion would end the snapshot.
 */
export function stopEvent(row: SandboxRow): 'stop' | 'delete' {
  const canStop = typeof sandboxStateTable[phaseOf(row)].stop === 'string'
  return canStop && row.autoDeleteMinutes === 0 && row.snapshottingId === null ? 'delete' : 'stop'
}
