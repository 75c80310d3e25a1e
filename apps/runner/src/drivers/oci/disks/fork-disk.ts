import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '@atoll/protocol'
import type { CommandOptions } from '../../../run-command.ts'
import type { OciHost } from '../oci-host.ts'
import { growDiskImage, MOUNT_DISK, repairDiskImage, waitForRelease } from '../sandbox-disk.ts'
import type { SandboxRecord } from '../sandbox-folder.ts'
import { currentSpec, sandboxFolder } from '../sandbox-folder.ts'
import type { StillSandbox } from '../snapshots/sandbox-files.ts'

/** How long it may take to write back what a running sandbox has written: while it runs, and while it stands still, in milliseconds. */
const FLUSH_DEADLINE_MS = 5 * 60_000
const STILL_FLUSH_DEADLINE_MS = 30_000
/** How long a copy of every file may take, for which a running sandbox stands still, in milliseconds. */
const COPY_DEADLINE_MS = 10 * 60_000

/** Copies what a sandbox has changed, `$1 $2`, to another disk, `$3 $4`, with folders to mount images on below `$5`. */
const COPY = `${MOUNT_DISK}
set -eu
from=$2 to=$4
if [ "$1" = image ]; then mount_disk "$2" "$5/from" nosuid,nodev,noinit_itable; from=$5/from; fi
if [ "$3" = image ]; then mount_disk "$4" "$5/to" nosuid,nodev,noinit_itable; to=$5/to; fi
if [ -d "$from/upper" ]; then cp -a "$from/upper" "$to/upper"; fi
sync -f "$to"
`

/** What a fork is made of: the draft of its folder, and what is written down of it. */
interface NewDisk {
  draft: string
  record: SandboxRecord
}

export interface ForkContext {
  host: OciHost
  /** As it is now; `withStill` lends it while it stands still, in its turn and then in a place of its own among changes. */
  parent: StillSandbox & { withStill: (use: (still: StillSandbox) => Promise<void>) => Promise<void> }
  /** Bounds what is done at once. */
  limit: (work: () => Promise<void>) => Promise<void>
}

/**
 * Fills the folder of a new sandbox with the files that another one has, as of one moment for which that one stands still.
 * Throws BAD_REQUEST for a parent of another snapshot or with a larger disk.
 */
export async function forkDisk({ host, parent, limit }: ForkContext, fork: NewDisk): Promise<void> {
  checkFork(parent.record, fork.record)
  // What is written back now does not have to be while it stands still. 1: it has just ended.
  await flushDisk(host, parent, { deadlineMs: FLUSH_DEADLINE_MS, accept: [0, 1] })
  await parent.withStill(async (still) => {
    checkFork(still.record, fork.record)
    await fillDisk(host, still, fork)
  })
  await limit(() => fitDisk(host, parent.record, fork))
}

/** What a sandbox changed fits only over the same snapshot, on a disk that is no smaller. */
function checkFork(parent: SandboxRecord, { spec }: SandboxRecord): void {
  const { snapshot, limits } = currentSpec(parent)
  if (spec.snapshot !== snapshot) throw new AppError('BAD_REQUEST', 'a fork has the snapshot of its parent')
  if (spec.limits.diskGiB < limits.diskGiB)
    throw new AppError('BAD_REQUEST', 'a fork has no smaller disk than its parent')
}

async function flushDisk({ run }: OciHost, { folder, running }: StillSandbox, options: CommandOptions): Promise<void> {
  if (running) await run(['sync', '-f', `/proc/${running.monitor.pid}/root${folder.disk}`], options)
}

/**
 * A clone of the parent's disk where blocks can be shared, else a copy of every file. The clone of a disk in use is what the
 * disk would be after a loss of power, with all that was written on it: mounting it replays the journal.
 */
async function fillDisk(host: OciHost, parent: StillSandbox, fork: NewDisk): Promise<void> {
  const { draft, record } = fork
  await flushDisk(host, parent, { deadlineMs: STILL_FLUSH_DEADLINE_MS })
  const hasImages = parent.record.disk === 'image' && record.disk === 'image'
  if (hasImages && (await host.disks.clone(parent.folder.image, draft))) return
  await host.disks.create(draft, record)
  await copyFiles(host, parent, fork)
}

/** Gives a fork the room it shall have, which may be more than its parent has. */
async function fitDisk(host: OciHost, parent: SandboxRecord, { draft, record }: NewDisk): Promise<void> {
  const { diskGiB } = record.spec.limits
  if (record.disk === 'folder' || diskGiB <= currentSpec(parent).limits.diskGiB) return
  await growDiskImage(await host.disks.reach(sandboxFolder(draft, '').image), diskGiB, host.run)
}

async function copyFiles(
  host: OciHost,
  { folder, record: { disk }, running }: StillSandbox,
  { draft, record }: NewDisk,
): Promise<void> {
  const target = sandboxFolder(draft, '')
  const mounts = join(draft, 'copy')
  for (const name of ['from', 'to']) await mkdir(join(mounts, name), { recursive: true, mode: 0o700 })
  const isMounted = running !== undefined || disk === 'folder'
  const source = running ? `/proc/${running.monitor.pid}/root${folder.disk}` : folder.files
  try {
    if (!isMounted) await repairDiskImage(await host.disks.reach(folder.image), host.run)
    await using attached = isMounted ? undefined : await host.disks.attach(folder.image)
    const from = attached === undefined ? ['folder', source] : ['image', attached.source]
    await using made = record.disk === 'folder' ? undefined : await host.disks.attach(target.image)
    const to = made === undefined ? ['folder', target.files] : ['image', made.source]
    const copy = ['sh', '-c', COPY, 'copy', ...from, ...to, mounts] as const
    await host.run(['unshare', '--mount', '--', ...copy], { deadlineMs: COPY_DEADLINE_MS })
  } finally {
    if (!isMounted) await waitForRelease(folder.image)
    await waitForRelease(target.image)
    await rm(mounts, { recursive: true, force: true })
  }
}
