import type { RunnerSnapshotClient } from '../runners/runner-snapshot-client.ts'
import type { RunnerVolumeClient } from '../runners/runner-volume-client.ts'

const refuse = () => Promise.reject(new Error('nobody asks'))

/** The snapshot client of a runner that is asked for sandboxes only. */
export const noSnapshots: RunnerSnapshotClient = {
  ...{ list: refuse, get: refuse, make: refuse, sendContent: refuse, log: refuse, export: refuse, remove: refuse },
}
export const noVolumes: RunnerVolumeClient = { list: refuse, make: refuse, remove: refuse }
