import { phaseOf, sandboxStateTable } from '@atoll/protocol'
import type { SandboxRow } from './sandbox-table.ts'

/**
 * What stopping a sandbox is for it: of one that is deleted when it stops, the deletion (§6). While a snapshot is made of
 * it no deletion, which would end the snapshot, but a stop, which is refused.
 */
export function stopEvent(row: SandboxRow): 'stop' | 'delete' {
  const canStop = typeof sandboxStateTable[phaseOf(row)].stop === 'string'
  return canStop && row.autoDeleteMinutes === 0 && row.snapshottingId === null ? 'delete' : 'stop'
}
