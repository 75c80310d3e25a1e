import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError } from '@atoll/protocol'
import { isAlive } from '@atoll/service'
import type { CommandOptions } from '../../../run-command.ts'
import { WITH_ALL_IT_STARTS } from '../../../run-command.ts'
import type { OciHost } from '../oci-host.ts'
import { reachRunningDisk, runningDevice } from '../running-disk.ts'
import { assertReleased, growDiskImage, MOUNT_DISK, repairDiskImage, waitForRelease } from '../sandbox-disk.ts'
import type { SandboxRecord } from '../sandbox-folder.ts'
import { currentSpec, sandboxFolder } from '../sandbox-folder.ts'
import type { StillSandbox } from '../snapshots/sandbox-files.ts'

/** How long writing back a running sandbox's data may take: while it runs, and while it is frozen, in milliseconds. */
const FLUSH_DEADLINE_MS = 5 * 60_000
const STILL_FLUSH_DEADLINE_MS = 30_000
/** How long a copy of every file may take, while a running sandbox is frozen, in milliseconds. */
const COPY_DEADLINE_MS = 10 * 60_000

/** Copies a sandbox's changed files from its disk, `$1 $2`, to another disk, `$3 $4`; images are mounted below `$5`. */
const COPY = `${MOUNT_DISK}
set -eu
from=$2 to=$4
if [ "$1" = image ]; then mount_disk "$2" "$5/from" nosuid,nodev,noinit_itable; from=$5/from; fi
if [ "$3" = image ]; then mount_disk "$4" "$5/to" nosuid,nodev,noinit_itable; to=$5/to; fi
if [ -d "$from/upper" ]; then cp -a "$from/upper" "$to/upper"; fi
sync -f "$to"
`

/** The draft of a fork's folder, and the fork's record. */
interface NewDisk {
  draft: string
  record: SandboxRecord
}

export interface ForkContext {
  host: OciHost
  /** The parent as it is now; `withStill` lends it while it is frozen, in its turn and then in one of the places of changes. */
  parent: StillSandbox & { withStill: (use: (still: StillSandbox) => Promise<void>) => Promise<void> }
  /** Bounds how many changes are made at once. */
  limit: (work: () => Promise<void>) => Promise<void>
}

/**
 * Fills the folder of a new sandbox with its parent's files, as of one moment for which the parent is frozen.
 * Throws BAD_REQUEST for a parent of another snapshot or with a larger disk.
 */
export async function forkDisk({ host, parent, limit }: ForkContext, fork: NewDisk): Promise<void> {
  checkFork(parent.record, fork.record)
  await flushEarly(host, parent)
  await parent.withStill(async (still) => {
    checkFork(still.record, fork.record)
    await fillDisk(host, still, fork)
  })
  await limit(() => fitDisk(host, parent.record, fork))
}

/** Throws BAD_REQUEST unless the fork has the same snapshot and no smaller disk: only there do the changed files fit. */
function checkFork(parent: SandboxRecord, { spec }: SandboxRecord): void {
  const { snapshot, limits } = currentSpec(parent)
  if (spec.snapshot !== snapshot) throw new AppError('BAD_REQUEST', 'a fork has the snapshot of its parent')
  if (spec.limits.diskGiB < limits.diskGiB)
    throw new AppError('BAD_REQUEST', 'a fork has no smaller disk than its parent')
}

/** Writes data back that then need not be written while the parent is frozen. Does nothing where it has ended since. */
async function flushEarly(host: OciHost, parent: StillSandbox): Promise<void> {
  if (parent.running === undefined || !isAlive(parent.running.monitor)) return
  // 1: it has ended just now.
  await flushDisk(host, parent, { deadlineMs: FLUSH_DEADLINE_MS, accept: [0, 1] })
}

async function flushDisk({ run }: OciHost, sandbox: StillSandbox, options: CommandOptions): Promise<void> {
  if (sandbox.running === undefined) return
  const { through, folder } = await reachRunningDisk(sandbox, sandbox.running)
  const [program = 'sync', ...rest] = [...through, 'sync', '-f', folder]
  await run([program, ...rest], options)
}

/**
 * Clones the parent's disk where blocks can be shared, else copies every file. The clone of a disk in use equals the disk
 * after a loss of power, with all that was written: mounting it replays the journal.
 */
async function fillDisk(host: OciHost, parent: StillSandbox, fork: NewDisk): Promise<void> {
  const { draft, record } = fork
  await flushDisk(host, parent, { deadlineMs: STILL_FLUSH_DEADLINE_MS })
  if (parent.record.disk === 'image' && record.disk === 'image') {
    if (parent.running === undefined) await assertReleased(parent.folder.image)
    if (await host.disks.clone(parent.folder.image, draft)) return
  }
  await host.disks.create(draft, record)
  await copyFiles(host, parent, fork)
}

/** Grows the fork's disk to its own size, which may be larger than its parent's. */
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
  const isAtRest = running === undefined && disk === 'image'
  try {
    if (isAtRest) await repairDiskImage(await host.disks.reach(folder.image), host.run)
    await using attached = isAtRest ? await host.disks.attach(folder.image) : undefined
    const device = disk === 'image' ? (attached?.source ?? (await runningDevice(folder.image))) : undefined
    const from = device === undefined ? ['folder', folder.files] : ['image', device]
    await using made = record.disk === 'folder' ? undefined : await host.disks.attach(target.image)
    const to = made === undefined ? ['folder', target.files] : ['image', made.source]
    const copy = ['sh', '-c', COPY, 'copy', ...from, ...to, mounts] as const
    // A copy that outlived its deadline would keep the parent frozen; one that outlived the runner, write to a removed disk.
    await host.run([...WITH_ALL_IT_STARTS, ...copy], { deadlineMs: COPY_DEADLINE_MS, endsWithRunner: true })
  } finally {
    if (isAtRest) await waitForRelease(folder.image)
    await waitForRelease(target.image)
    await rm(mounts, { recursive: true, force: true })
  }
}
