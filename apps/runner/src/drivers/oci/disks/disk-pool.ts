import type { ChildProcessByStdio } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { FileHandle } from 'node:fs/promises'
import { mkdir, open, rename, rm, stat, statfs, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { isThere } from '../../../files.ts'
import type { RunCommand } from '../../../run-command.ts'
import { commandEnvironment } from '../../../run-command.ts'
import { detachLeftDevices, waitForRelease } from '../sandbox-disk.ts'

const GIB = 1024 ** 3
export const POOL_FILE = 'disk-pool.img'
/** Mount point of the pool; outside of the pool's mount namespace the folder is empty. */
export const POOL_FOLDER = 'disk-pool'
/** Share of the host's disk that a pool leaves to the host when its size is picked, and the least it leaves, in bytes. */
const HOST_SHARE = 0.05
const MIN_HOST_BYTES = GIB
/** Smallest pool: a smaller one is not worth its tables. */
const MIN_POOL_BYTES = GIB
/** A pool grows when the host has room for at least this many bytes more than the pool's size. */
const MIN_GROWTH_BYTES = 4 * GIB
/** Size of the log, which is replayed at the first mount after a crash; that takes a second at most. */
const LOG_SIZE = '64m'
const MAKE_DEADLINE_MS = 60_000
const MOUNT_DEADLINE_MS = 60_000
/** Most characters of the mount script's error output that an error repeats. */
const MAX_COMPLAINT_CHARACTERS = 1_000

/**
 * Mounts the pool and waits, so that its mount namespace can be opened by another process. A device that already has the
 * pool is used again (--nooverlap), never a second one; with --detach the device goes with its last user. The file may be larger
 * than its file system, also since a start that was cut short; a pool that does not grow works as it is. Only the host's
 * mounts that commands need are kept: a file system that the host unmounts later must not stay mounted here.
 */
const MOUNT = `
set -eu
attach() { losetup --nooverlap --find --show --sector-size 4096 "$@" 2>/dev/null; }
device=$(attach --direct-io=on "$1" || attach "$1")
losetup --set-capacity "$device" || true
code=0
mount -t xfs -o nouuid,discard,noatime,nosuid,nodev "$device" "$2" || code=$?
losetup --detach "$device"
[ "$code" = 0 ]
xfs_growfs -d "$2" >/dev/null || true
others=
while read -r _ _ _ _ point _; do
  case $2/ in "\${point%/}"/*) continue ;; esac
  case $point/ in /proc/* | /sys/* | /dev/* | /usr/* | /bin/* | /sbin/* | /lib*) continue ;; esac
  others="$others $point"
done </proc/self/mountinfo
set -f
if [ -n "$others" ]; then umount --lazy $others || true; fi
echo ready
read -r end || true
`

/** A file system that can share blocks between files, in a sparse file, mounted in a mount namespace of its own. */
export interface DiskPool extends AsyncDisposable {
  /** Path of the mount namespace that sees the pool. */
  readonly namespace: string
  /** Returns a command that runs `command` in the pool's mount namespace. */
  seeing(command: readonly [string, ...string[]]): [string, ...string[]]
  /** Path of the pool's folder for this process and the commands it runs. */
  readonly path: string
}

/** Returns true when a data folder has a pool, which then holds disks of sandboxes. */
export function hasDiskPool(dataDir: string): Promise<boolean> {
  return isThere(join(dataDir, POOL_FILE))
}

/**
 * Mounts the pool of a data folder, making it first where there is none. It is mounted in a mount namespace of its own that
 * this process keeps open by a descriptor: the mount ends with this process and the last sandbox that has a disk in it,
 * however they end, and the host's mount table never shows it. Throws an Error in one line when no pool is possible here.
 */
export async function openDiskPool(dataDir: string, instanceId: string, run: RunCommand): Promise<DiskPool> {
  const [file, folder] = [join(dataDir, POOL_FILE), join(dataDir, POOL_FOLDER)]
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await ((await isThere(file)) ? growFile(file, dataDir) : makeFile(file, dataDir, run))
  await detachLeftDevices(`/${instanceId}-`, run)
  const place = await mountPool(file, folder)
  const namespace = `/proc/${process.pid}/fd/${place.namespace.fd}`
  return {
    namespace,
    seeing: (command) => ['nsenter', `--mount=${namespace}`, '--', ...command],
    path: `/proc/${process.pid}/fd/${place.root.fd}`,
    [Symbol.asyncDispose]: async () => {
      await place.root.close()
      await place.namespace.close()
      await waitForRelease(file)
    },
  }
}

/** Removes a pool that was only tried. */
export async function removeDiskPool(dataDir: string): Promise<void> {
  await rm(join(dataDir, POOL_FILE), { force: true })
  await rm(join(dataDir, POOL_FOLDER), { recursive: true, force: true })
}

/** Makes a pool whole or not at all. */
async function makeFile(file: string, dataDir: string, run: RunCommand): Promise<void> {
  const bytes = await wantedBytes(dataDir)
  if (bytes < MIN_POOL_BYTES) throw new Error('the host has too little room')
  const draft = `${file}.draft`
  try {
    await using handle = await open(draft, 'w', 0o600)
    await handle.truncate(bytes)
    const options = ['-m', 'reflink=1', '-s', 'size=4096', '-l', `size=${LOG_SIZE}`]
    await run(['mkfs.xfs', '-q', '-f', '-K', ...options, draft], { deadlineMs: MAKE_DEADLINE_MS })
    await handle.sync()
    await rename(draft, file)
  } catch (error) {
    await rm(draft, { force: true })
    throw error
  }
}

/** Makes the pool's file larger if the host has more room by now, never smaller; the mount script makes its file system as large. */
async function growFile(file: string, dataDir: string): Promise<void> {
  const { size, blocks } = await stat(file)
  const bytes = (await wantedBytes(dataDir)) + blocks * 512
  if (bytes >= size + MIN_GROWTH_BYTES) await truncate(file, bytes)
}

/** Returns the free bytes of the host's disk without the host's share, rounded down to whole MiB. */
async function wantedBytes(dataDir: string): Promise<number> {
  const { bavail, blocks, bsize } = await statfs(dataDir)
  const kept = Math.max(MIN_HOST_BYTES, blocks * bsize * HOST_SHARE)
  return Math.floor((bavail * bsize - kept) / 1024 ** 2) * 1024 ** 2
}

async function mountPool(file: string, folder: string): Promise<Record<'namespace' | 'root', FileHandle>> {
  const call = ['--mount', '--', 'sh', '-c', MOUNT, 'pool', file, folder]
  const child = spawn('unshare', call, { cwd: '/', env: commandEnvironment(), stdio: ['pipe', 'pipe', 'pipe'] })
  const over = once(child, 'close')
  // `over` is awaited below; a rejection after another failure is no second failure.
  over.catch(() => undefined)
  const timer = setTimeout(() => child.kill('SIGKILL'), MOUNT_DEADLINE_MS)
  try {
    await untilReady(child)
    const namespace = await open(`/proc/${child.pid}/ns/mnt`, 'r')
    try {
      return { namespace, root: await open(`/proc/${child.pid}/root${folder}`, 'r') }
    } catch (error) {
      await namespace.close()
      throw error
    }
  } finally {
    child.stdin.end()
    await over
    clearTimeout(timer)
  }
}

/** Resolves when the script says `ready`; rejects with its error output when it ends before. */
function untilReady(child: ChildProcessByStdio<Writable, Readable, Readable>): Promise<void> {
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, MAX_COMPLAINT_CHARACTERS)
  })
  child.stdin.on('error', () => undefined)
  return new Promise((resolve, reject) => {
    child.stdout.once('data', () => resolve())
    child.once('error', reject)
    child.once('close', () => reject(new Error(complaint.trim().replaceAll('\n', ' ') || 'cannot be mounted')))
  })
}
