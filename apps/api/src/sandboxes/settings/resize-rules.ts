import type { UpdateResources } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Resources } from '../../runners/placement.ts'
import type { SandboxRow } from '../sandbox-table.ts'

/** A sandbox's resources and state. */
type Resizable = Resources & Pick<SandboxRow, 'state'>

/**
 * Returns the resources after a resize: a running sandbox gets only more cpu and memory, a stopped one any, and neither less
 * disk. Throws BAD_REQUEST, also if nothing would change.
 */
export function planResize(row: Resizable, { cpu, memory, disk }: UpdateResources): Resources {
  const wanted = { cpu: cpu ?? row.cpu, memoryGib: memory ?? row.memoryGib, diskGib: disk ?? row.diskGib }
  if (wanted.cpu === row.cpu && wanted.memoryGib === row.memoryGib && wanted.diskGib === row.diskGib) {
    throw refused('Nothing to resize: give other amounts of cpu, memory or disk than the sandbox has')
  }
  if (wanted.diskGib < row.diskGib) throw refused('The disk of a sandbox can only be increased')
  if (row.state !== 'started') return wanted
  if (wanted.diskGib > row.diskGib) throw refused('The disk can be resized only while the sandbox is stopped')
  if (wanted.cpu < row.cpu || wanted.memoryGib < row.memoryGib) {
    throw refused('The cpu and memory of a running sandbox can only be increased')
  }
  return wanted
}

function refused(message: string): AppError {
  return new AppError('BAD_REQUEST', message)
}
