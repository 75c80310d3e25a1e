import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { RunCommand } from '../../../run-command.ts'
import { IMAGE_FILE, MOUNT_DISK } from '../sandbox-disk.ts'
import type { SandboxRecord } from '../sandbox-folder.ts'
import type { DiskPool } from './disk-pool.ts'
import { hasDiskPool, openDiskPool, removeDiskPool } from './disk-pool.ts'
import type { DiskStore, DiskStoreOptions } from './disk-store.ts'
import { assertCanClone, createDiskStore, removeTemplates } from './disk-store.ts'

/** The record of the disk that is made as a try. */
const TRIAL_RECORD: SandboxRecord = {
  spec: {
    ...{ snapshot: 'host', user: 'root', network: 'none' },
    limits: { cpu: 1, memoryGiB: 1, diskGiB: 1 / 32, pids: 16 },
  },
  disk: 'image',
}

export interface OpenDiskStoreOptions {
  dataDir: string
  instanceId: string
  /** Whether this host can mount images at all. */
  hasImages: boolean
  run: RunCommand
}

export interface OpenedDiskStore {
  disks: DiskStore
  /** Why a clone is a whole copy here; undefined where files can share blocks. */
  cloneFailure: string | undefined
}

/**
 * Finds the best place for disks: the data folder where its file system shares blocks between files, else a pool, else
 * the data folder without clones. Throws an Error in one line when a pool with sandboxes' disks exists and cannot be used.
 */
export async function openDiskStore(options: OpenDiskStoreOptions): Promise<OpenedDiskStore> {
  const { dataDir, instanceId, run } = options
  const base = { dataDir, instanceId, run }
  const hasPool = await hasDiskPool(dataDir)
  const plain = (cloneFailure: string) => ({ disks: createDiskStore({ ...base, canClone: false }), cloneFailure })
  if (!options.hasImages && !hasPool) return plain('this host has no disk images')
  const sharing = hasPool ? undefined : await openSharing(base).catch(() => undefined)
  if (sharing) return { disks: sharing, cloneFailure: undefined }
  let pool: DiskPool | undefined
  try {
    pool = await openDiskPool(dataDir, instanceId, run)
    await removeTemplates(pool.path)
    await assertCanClone(pool.path)
    const disks = createDiskStore({ ...base, pool, canClone: true })
    await tryDisks(disks, options)
    return { disks, cloneFailure: undefined }
  } catch (error) {
    await pool?.[Symbol.asyncDispose]()
    const reason = error instanceof Error ? error.message : String(error)
    if (hasPool)
      throw new Error(`the pool of sandboxes' disks below ${dataDir} cannot be used: ${reason}`, { cause: error })
    await removeDiskPool(dataDir)
    return plain(reason)
  }
}

/** Opens a store that clones in the data folder. Throws where files there cannot share blocks. */
async function openSharing(base: Omit<DiskStoreOptions, 'canClone'>): Promise<DiskStore> {
  await assertCanClone(base.dataDir)
  const disks = createDiskStore({ ...base, canClone: true })
  await removeTemplates(disks.templates)
  return disks
}

/** Mounts a clone as a start does: only that shows that this host can do it. */
async function tryDisks(disks: DiskStore, { dataDir, run }: OpenDiskStoreOptions): Promise<void> {
  const [first, second] = [join(dataDir, 'try-disks', 'first'), join(dataDir, 'try-disks', 'second')]
  try {
    for (const folder of [first, second]) await mkdir(join(folder, 'mount'), { recursive: true, mode: 0o700 })
    await disks.create(first, TRIAL_RECORD)
    await disks.clone(join(first, IMAGE_FILE), second)
    await using disk = await disks.attach(join(second, IMAGE_FILE))
    const script = `${MOUNT_DISK} set -eu; mount_disk "$1" "$2" nosuid,nodev,noinit_itable; touch "$2/file"; sync -f "$2"`
    await run(['unshare', '--mount', '--', 'sh', '-c', script, 'try', disk.source, join(second, 'mount')])
  } finally {
    for (const folder of [first, second]) await disks.removeDisk(folder)
    await rm(join(dataDir, 'try-disks'), { recursive: true, force: true })
  }
}
