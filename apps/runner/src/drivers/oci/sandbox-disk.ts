import { open, readFile, readlink } from 'node:fs/promises'
import { basename } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@atoll/protocol'
import type { CommandOptions, RunCommand } from '../../run-command.ts'
import { WITH_ALL_IT_STARTS } from '../../run-command.ts'

const GIB = 1024 ** 3
/** An image or a folder holds a sandbox's files, in the sandbox's folder. */
export const IMAGE_FILE = 'disk.img'
export const FILES_FOLDER = 'files'
/** Smallest image: in a smaller one, ext4's own tables leave no room for files. */
const MIN_IMAGE_BYTES = 32 * 1024 * 1024
/** Images below this get the smaller of the two journals, in bytes. */
const SMALL_IMAGE_BYTES = GIB
/** How long an image may stay mounted after the last process of its sandbox, in milliseconds. */
const DETACH_DEADLINE_MS = 5_000
/** How long a call that needs the image itself waits for that: gigabytes may have to be written back. In milliseconds. */
const RELEASE_DEADLINE_MS = 60_000
const DETACH_POLL_MS = 10
/** Bounds of a check and of a growth. One that outlived its runner would meet the next runner's, or the writes of a sandbox. */
const CHECK: CommandOptions = { deadlineMs: 10 * 60_000, endsWithRunner: true }

/**
 * Repairs the file system of the image `$1`, unless a device has it. Of e2fsck's codes, 1 and 2 mean that errors were there and
 * are corrected, and 4 that some were left, since correcting them may cost files. Losing files that were never written whole is
 * better than a sandbox that never starts again.
 */
const REPAIR = `
set -eu
devices=$(losetup --associated "$1")
if [ -n "$devices" ]; then exit 0; fi
code=0
e2fsck -p "$1" || code=$?
if [ "$code" = 4 ]; then
  code=0
  e2fsck -y "$1" || code=$?
fi
if [ "$code" -gt 2 ]; then exit "$code"; fi
`

/** Shell function for scripts: `mount_disk SOURCE FOLDER OPTIONS`, where the source is the result of attaching a disk. */
export const MOUNT_DISK = `
mount_disk() {
  if [ -b "$1" ]; then mount -t ext4 -o "$3" "$1" "$2"; else mount -t ext4 -o "loop,$3" "$1" "$2"; fi
}
`

/**
 * Makes a sandbox's disk: a sparse file with an ext4 file system of `diskGiB`, which is how the quota is kept
 * on any host file system. The tables of a new sparse file read as zeros, so none are written.
 *
 * It has a journal. Without one a host that loses power leaves a file system that only a full check makes
 * usable again; with one, mounting replays it, and data that a program has synced (fsync) is on disk. Measured,
 * the cost of the journal cannot be told from noise: neither when made, nor on small files, nor in bulk.
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
  const features = ['-E', 'lazy_itable_init=1,lazy_journal_init=1,nodiscard', '-J', `size=${journalMiB}`]
  await run(['mkfs.ext4', '-q', '-F', '-b', '4096', '-m', '0', '-e', 'remount-ro', ...features, path])
}

/**
 * Makes the disk of a stopped sandbox larger; a repeated call finishes an interrupted one. Throws CommandError, and
 * SERVICE_UNAVAILABLE while the disk is not released.
 */
export async function growDiskImage(path: string, diskGiB: number, run: RunCommand): Promise<void> {
  const bytes = Math.max(MIN_IMAGE_BYTES, Math.ceil(diskGiB * GIB))
  await assertReleased(path)
  await using file = await open(path, 'r+')
  if ((await file.stat()).size < bytes) await file.truncate(bytes)
  // A resize2fs that was killed leaves a record of errors, and sometimes more of them than the next check corrects.
  await repairDiskImage(path, run)
  await forgetCached(path, run)
  // resize2fs refuses a file system that was not checked. 1: errors were there and are corrected.
  await run(['e2fsck', '-f', '-p', path], { ...CHECK, accept: [0, 1] })
  await run(['resize2fs', path], CHECK)
}

/**
 * Checks the file system when its own record says that errors were met, as it does after the host's disk was full, and
 * repairs it. An unclean file system needs no repair: mounting replays the journal. Throws CommandError when it is beyond repair,
 * and SERVICE_UNAVAILABLE while the disk is not released.
 */
export async function repairDiskImage(path: string, run: RunCommand): Promise<void> {
  if (!(await hasRecordedErrors(path))) return
  await assertReleased(path)
  await repairUnlessUsed(path, run)
}

/** Does the same for an image that others may mount at any time, with `flock`; leaves it alone while it is mounted. */
export async function repairSharedImage(path: string, run: RunCommand): Promise<void> {
  if (await hasRecordedErrors(path)) await repairUnlessUsed(path, run)
}

async function repairUnlessUsed(path: string, run: RunCommand): Promise<void> {
  await forgetCached(path, run)
  await run([...WITH_ALL_IT_STARTS, 'flock', path, 'sh', '-c', REPAIR, 'repair', path], CHECK)
}

/**
 * Drops an image from the kernel's cache. The cache may still hold, as written, data that could not be written while the
 * host's disk was full; a check would read that, whereas the loop device of a pool's disk reads past the cache.
 */
async function forgetCached(path: string, run: RunCommand): Promise<void> {
  await run(['dd', `if=${path}`, 'iflag=nocache', 'count=0', 'status=none'])
}

/** Returns the loop device under the mount at `mountPoint`, as the process `pid` sees it; undefined without one. */
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

/** Returns the name of the loop device that has this image; undefined where none has. */
export async function findImageDevice(imagePath: string): Promise<string | undefined> {
  const isOfImage = await imageMatcher(imagePath)
  for (const device of await loopDevices()) if (isOfImage(await backingFile(device))) return device
  return undefined
}

/**
 * Waits until the kernel has written an image back: before, programs that read or write the image itself would meet the kernel's
 * writes, and do not notice that it is mounted, in another mount namespace. Throws SERVICE_UNAVAILABLE when it is not in time.
 */
export async function assertReleased(imagePath: string): Promise<void> {
  const device = await findImageDevice(imagePath)
  if (device === undefined || (await waitForDetach(device, imagePath, RELEASE_DEADLINE_MS))) return
  throw new AppError('SERVICE_UNAVAILABLE', 'the disk of the sandbox is still being written back')
}

/** Waits until no loop device has this image, after it was mounted for a moment; returns false when one keeps it. */
export async function waitForRelease(imagePath: string): Promise<boolean> {
  const devices = await loopDevices()
  const released = await Promise.all(devices.map((device) => waitForDetach(device, imagePath)))
  return released.every((isReleased) => isReleased)
}

/**
 * Detaches loop devices whose process was killed after it attached them. `name` is a part of the path of their backing file:
 * of an image in a pool, where each name is given only once.
 */
export async function detachLeftDevices(name: string, run: RunCommand): Promise<void> {
  for (const device of await loopDevices()) {
    const read = (file: string) => readFile(`/sys/block/${device}/loop/${file}`, 'utf8').catch(() => '')
    if (!(await read('backing_file')).includes(name) || (await read('autoclear')).trim() !== '0') continue
    // A device in use goes with its last user. 1: it is gone.
    await run(['losetup', '--detach', `/dev/${device}`], { accept: [0, 1] })
  }
}

/** Returns the names of the loop devices that have a file. A host also keeps hundreds of empty ones, once it had so many in use. */
async function loopDevices(): Promise<string[]> {
  const table = await readFile('/proc/partitions', 'utf8')
  return table.split('\n').flatMap((line) => / (loop\d+)$/.exec(line)?.[1] ?? [])
}

/** Waits until the kernel has written a disk back and released it; returns false when it has not in time. */
export async function waitForDetach(
  loopDevice: string,
  imagePath: string,
  deadlineMs = DETACH_DEADLINE_MS,
): Promise<boolean> {
  const giveUpAt = performance.now() + deadlineMs
  const isOfImage = await imageMatcher(imagePath)
  for (;;) {
    // The device may serve another sandbox already.
    if (!isOfImage(await backingFile(loopDevice))) return true
    if (performance.now() > giveUpAt) return false
    await delay(DETACH_POLL_MS)
  }
}

/** Returns a test of whether the backing file of a loop device, as the kernel names it, is this image. */
async function imageMatcher(imagePath: string): Promise<(backing: string) => boolean> {
  // The kernel does not know a path in the pool once the mount namespace is gone, but no name is given twice there. The path is
  // that of a link to it, or the one by which this process reaches it.
  const target = imagePath.startsWith('/proc/') ? imagePath : await readlink(imagePath).catch(() => undefined)
  return (backing) => (target === undefined ? backing === imagePath : basename(backing) === basename(target))
}

/** Returns the path of a loop device's backing file; empty for a device that has none. */
async function backingFile(device: string): Promise<string> {
  const text = await readFile(`/sys/block/${device}/loop/backing_file`, 'utf8').catch(() => '')
  return text.trimEnd()
}

/** Reads s_state of the superblock, which is at byte 58 after byte 1,024: bit 1 means that errors were met. */
async function hasRecordedErrors(path: string): Promise<boolean> {
  const file = await open(path, 'r')
  try {
    const { buffer } = await file.read(Buffer.alloc(2), 0, 2, 1024 + 58)
    return (buffer.readUInt16LE(0) & 2) !== 0
  } finally {
    await file.close()
  }
}
