import { isAlive } from '@atoll/service'
import { findImageDevice, MOUNT_DISK } from './sandbox-disk.ts'
import type { StillSandbox } from './snapshots/sandbox-files.ts'

/** How a program of the runner gets to the disk of a running sandbox, whose mounts do not show on the host. */
export interface RunningDisk {
  /** The command that starts the program where the disk is mounted. */
  through: readonly string[]
  /** The path of the disk for that program. */
  folder: string
}

/** Mounts the block device `$1` at `$2` for as long as the command in the further arguments runs. */
const MOUNT_AND_RUN = `${MOUNT_DISK}
set -eu
mount_disk "$1" "$2" nosuid,nodev,noinit_itable
shift 2
exec "$@"
`

/**
 * Finds the disk through the monitor of the run, which has it mounted. Where the monitor was killed and the sandbox runs on, the
 * sandbox's own block device is mounted once more: the kernel has one file system for all mounts of a device.
 */
export async function reachRunningDisk(
  { folder, record }: Pick<StillSandbox, 'folder' | 'record'>,
  { monitor }: NonNullable<StillSandbox['running']>,
): Promise<RunningDisk> {
  if (record.disk === 'folder') return { through: [], folder: folder.files }
  if (isAlive(monitor)) {
    return { through: ['nsenter', `--mount=/proc/${monitor.pid}/ns/mnt`, '--'], folder: folder.disk }
  }
  const device = await runningDevice(folder.image)
  const mount = ['sh', '-c', MOUNT_AND_RUN, 'mount', device, folder.disk]
  return { through: ['unshare', '--mount', '--', ...mount], folder: folder.disk }
}

/** Returns the path of the block device that a running sandbox's disk is. Throws where the disk is not in use. */
export async function runningDevice(imagePath: string): Promise<string> {
  const device = await findImageDevice(imagePath)
  if (device === undefined) throw new Error('the disk of a running sandbox is on no device')
  return `/dev/${device}`
}
