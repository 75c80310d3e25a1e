import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { RunCommand } from '../../run-command.ts'
import type { SandboxRecord } from './sandbox-folder.ts'

const GIB = 1024 ** 3
/** What holds a sandbox's files, in its folder: one or the other. */
export const IMAGE_FILE = 'disk.img'
export const FILES_FOLDER = 'files'
/** Smallest image: below it ext4's own tables leave nothing to use. */
const MIN_IMAGE_BYTES = 32 * 1024 * 1024
/** Images below this get the smaller of the two journals, in bytes. */
const SMALL_IMAGE_BYTES = GIB
/** How long an image may stay mounted after the last process of its sandbox, in milliseconds. */
const DETACH_DEADLINE_MS = 5_000
const DETACH_POLL_MS = 10

/** Makes what will hold a sandbox's files, in its folder. */
export async function createDisk(folder: string, { disk, spec }: SandboxRecord, run: RunCommand): Promise<void> {
  if (disk === 'image') await createDiskImage(join(folder, IMAGE_FILE), spec.limits.diskGiB, run)
  else await mkdir(join(folder, FILES_FOLDER), { mode: 0o700 })
}

/**
 * Makes a sandbox's disk: a sparse file with an ext4 file system of `diskGiB`, which is how the quota is kept
 * on any host file system. The tables of a new sparse file read as zeros, so none are written.
 *
 * It has a journal. Without one a host that loses power leaves a file system that only a full check makes
 * usable again; with one, mounting replays it, and what a program was told is on disk (fsync) is. Measured,
 * the journal costs nothing that can be told from noise: not when made, not on small files, not in bulk.
 */
export async function createDiskImage(path: string, diskGiB: number, run: RunCommand): Promise<void> {
  const bytes = Math.max(MIN_IMAGE_BYTES, Math.ceil(diskGiB * GIB))
  const file = await open(path, 'wx', 0o600)
  try {
    await file.truncate(bytes)
  } finally {
    await file.close()
  }
  const journalMiB = bytes < SMALL_IMAGE_BYTES ? 4 : 16
  const features = 'lazy_itable_init=1,lazy_journal_init=1,nodiscard'
  await run(['mkfs.ext4', '-q', '-F', '-m', '0', '-e', 'remount-ro', '-E', features, '-J', `size=${journalMiB}`, path])
}

/**
 * Checks the file system when its own record says that errors were met, and repairs what is safe to repair.
 * An unclean one needs nothing: mounting replays the journal. Throws CommandError when it is beyond repair.
 */
export async function repairDiskImage(path: string, run: RunCommand): Promise<void> {
  if (await hasRecordedErrors(path)) {
    // 1 and 2: errors were there and are corrected.
    await run(['e2fsck', '-p', path], { accept: [0, 1, 2], deadlineMs: 10 * 60_000 })
  }
}

/** The loop device under the mount at `mountPoint`, as the process `pid` sees it; undefined without one. */
export async function findLoopDevice(pid: number, mountPoint: string): Promise<string | undefined> {
  const table = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '')
  for (const line of table.split('\n')) {
    const [head = '', tail = ''] = line.split(' - ')
    // Blanks in a mount point are written as octal escapes.
    const seen = head.split(' ')[4]?.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
    if (seen === mountPoint) return /^\S+ \/dev\/(loop\d+) /.exec(tail)?.[1]
  }
  return undefined
}

/** Waits until the kernel has written a disk back and let go of it; false when it has not in time. */
export async function waitForDetach(loopDevice: string, imagePath: string): Promise<boolean> {
  const giveUpAt = performance.now() + DETACH_DEADLINE_MS
  for (;;) {
    const backing = await readFile(`/sys/block/${loopDevice}/loop/backing_file`, 'utf8').catch(() => '')
    // The device may serve another sandbox already.
    if (backing.trimEnd() !== imagePath) return true
    if (performance.now() > giveUpAt) return false
    await delay(DETACH_POLL_MS)
  }
}

/** Reads s_state of the superblock (byte 58 of 1,024 onwards): bit 1 means errors were met. */
async function hasRecordedErrors(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 1024 + 58)
    return (buffer.readUInt16LE(0) & 2) !== 0
  } finally {
    await file.close()
  }
}
