import { randomUUID } from 'node:crypto'
import { constants, copyFile, mkdir, open, readdir, readlink, rm, statfs, symlink } from 'node:fs/promises'
import { basename, dirname, join, relative } from 'node:path'
import { AppError } from '@atoll/protocol'
import { isThere } from '../../../files.ts'
import type { RunCommand } from '../../../run-command.ts'
import { removeTree } from '../remove-tree.ts'
import { createDiskImage, detachLeftDevices, FILES_FOLDER, IMAGE_FILE } from '../sandbox-disk.ts'
import type { SandboxRecord } from '../sandbox-folder.ts'
import type { DiskPool } from './disk-pool.ts'
import { POOL_FOLDER } from './disk-pool.ts'

const GIB = 1024 ** 3
/** Most sizes of which a formatted image is kept to be cloned; each takes a few MiB. */
const MAX_TEMPLATES = 64
const TEMPLATE_PREFIX = 'template-'
/** Free bytes of the host's disk below which no sandbox is made any more: the existing ones need room to go on. */
export const MIN_FREE_BYTES = GIB / 2

/** Keeps sandboxes' disks: makes, clones, attaches and removes them. */
export interface DiskStore extends AsyncDisposable {
  /** True where images share blocks, so that a clone takes no time, however large the image is. */
  readonly canClone: boolean
  /** Folder of formatted images that new disks are clones of. */
  readonly templates: string
  /** Returns the path under which this process, and a command that it runs, opens an image. */
  reach(image: string): Promise<string>
  /** Makes an image mountable, until the result is disposed and the last mount has ended. */
  attach(image: string): Promise<AttachedDisk>
  /** Returns the arguments with which a script attaches the image itself (ATTACH_DISK); call `detach` where that fails. */
  attachable(image: string): Promise<AttachableDisk>
  /** Detaches the device that an interrupted script has attached. */
  detach(image: string): Promise<void>
  /** Makes the disk image or folder of a new sandbox, in its folder. */
  create(folder: string, record: SandboxRecord): Promise<void>
  /** Makes a clone of `image` as the disk in `folder`; makes nothing and returns false where `image` cannot share blocks. */
  clone(image: string, folder: string): Promise<boolean>
  /** Removes the disk of a folder that is going to be removed. */
  removeDisk(folder: string): Promise<void>
  /** Throws DISK_FULL where another sandbox would leave too little room for the existing ones. */
  assertRoom(): Promise<void>
}

export interface AttachedDisk extends AsyncDisposable {
  /** Source to mount: a loop device, or an image for which mounting makes one. */
  source: string
}

export interface AttachableDisk {
  image: string
  /** Path of the mount namespace to attach it in; empty for an image for which mounting makes a loop device. */
  namespace: string
}

/**
 * Attaches a disk in a pool. It is read and written past the host's cache, so that no data is in memory twice; shared blocks
 * can be written in whole blocks of the pool only. A detached device stays until its last mount ends. An image that the
 * kernel has not yet released keeps its device (--nooverlap): two devices would be two disks with caches of their own.
 */
const ATTACH = ['losetup', '--nooverlap', '--find', '--show', '--direct-io=on', '--sector-size', '4096'] as const

/** Shell function for scripts: `attach_disk IMAGE NAMESPACE` prints the source to mount. */
export const ATTACH_DISK = `
attach_disk() {
  if [ -n "$2" ]; then nsenter --mount="$2" -- ${ATTACH.join(' ')} "$1"; else printf %s "$1"; fi
}
`

export interface DiskStoreOptions {
  dataDir: string
  instanceId: string
  /** Absent: images lie in the sandboxes' folders. */
  pool?: DiskPool | undefined
  /** Whether files of one folder can share blocks where images lie. */
  canClone: boolean
  run: RunCommand
}

/**
 * In a pool an image has a name of its own, and a sandbox's folder a link to it. The link is made before the image and removed
 * after it: code that removes the folder, now or after a crash, finds the image. Without a pool the folder holds the image.
 */
export function createDiskStore({ dataDir, instanceId, pool, canClone, run }: DiskStoreOptions): DiskStore {
  const templates = new Map<number, Promise<string>>()
  const templateFolder = pool?.path ?? join(dataDir, 'disk-templates')

  const reach = async (image: string): Promise<string> => {
    if (pool === undefined) return image
    // An image that an earlier version made lies in its sandbox's folder.
    const target = await readlink(image).catch(() => undefined)
    return target === undefined ? image : join(pool.path, basename(target))
  }
  /** Returns the path of an image that is to be made for a folder. */
  const placeFor = async (folder: string): Promise<string> => {
    const image = join(folder, IMAGE_FILE)
    if (pool === undefined) return image
    const name = `${instanceId}-${randomUUID()}.img`
    await symlink(join(relative(folder, join(dataDir, POOL_FOLDER)), name), image)
    return join(pool.path, name)
  }
  /** Returns a formatted image of this size to clone; undefined when there are MAX_TEMPLATES of other sizes. */
  const template = (diskGiB: number): Promise<string> | undefined => {
    const known = templates.get(diskGiB)
    if (known !== undefined || templates.size >= MAX_TEMPLATES) return known
    const made = makeTemplate(templateFolder, diskGiB, run)
    templates.set(diskGiB, made)
    made.catch(() => templates.delete(diskGiB))
    return made
  }

  return {
    canClone,
    templates: templateFolder,
    reach,
    async attach(image) {
      const isPooled = pool !== undefined && (await reach(image)) !== image
      return isPooled ? attachPooled(pool, image, run) : { source: image, [Symbol.asyncDispose]: async () => undefined }
    },
    async attachable(image) {
      const isPooled = pool !== undefined && (await reach(image)) !== image
      return { image, namespace: isPooled ? pool.namespace : '' }
    },
    async detach(image) {
      const path = await reach(image)
      if (path !== image) await detachLeftDevices(basename(path), run)
    },
    async create(folder, { disk, spec }) {
      if (disk === 'folder') return void (await mkdir(join(folder, FILES_FOLDER), { mode: 0o700 }))
      const image = await placeFor(folder)
      const formatted = canClone ? await template(spec.limits.diskGiB) : undefined
      if (formatted === undefined) await createDiskImage(image, spec.limits.diskGiB, run)
      else await cloneFile(formatted, image)
    },
    async clone(image, folder) {
      const source = await reach(image)
      if (!canClone || (pool !== undefined && source === image)) return false
      const target = await placeFor(folder)
      await cloneFile(source, target)
      // A clone that was reported to the caller must survive a power cut.
      for (const path of [target, dirname(target)]) {
        await using handle = await open(path, 'r')
        await handle.sync()
      }
      return true
    },
    async removeDisk(folder) {
      const [image, files] = [join(folder, IMAGE_FILE), join(folder, FILES_FOLDER)]
      const path = await reach(image)
      if (path !== image) await rm(path, { force: true })
      if (await isThere(files)) await removeTree(files, run)
    },
    async assertRoom() {
      const { bavail, bsize } = await statfs(dataDir)
      if (bavail * bsize >= MIN_FREE_BYTES) return
      throw new AppError('DISK_FULL', `the runner's disk is full: less than ${MIN_FREE_BYTES / GIB} GiB is free`)
    },
    [Symbol.asyncDispose]: async () => pool?.[Symbol.asyncDispose](),
  }
}

/** Throws where the file system cannot share blocks between two files of a folder. */
export async function assertCanClone(folder: string): Promise<void> {
  const [source, target] = [join(folder, `try-${randomUUID()}`), join(folder, `try-${randomUUID()}`)]
  try {
    {
      await using file = await open(source, 'wx', 0o600)
      await file.writeFile(Buffer.alloc(4096, 1))
    }
    await cloneFile(source, target)
  } finally {
    for (const path of [source, target]) await rm(path, { force: true })
  }
}

async function attachPooled(pool: DiskPool, image: string, run: RunCommand): Promise<AttachedDisk> {
  const source = (await run(pool.seeing([...ATTACH, image]))).stdout.trim()
  return {
    source,
    // 1: another user of the device has detached it.
    [Symbol.asyncDispose]: async () => void (await run(['losetup', '--detach', source], { accept: [0, 1] })),
  }
}

function cloneFile(source: string, target: string): Promise<void> {
  return copyFile(source, target, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL)
}

/** Removes the templates of an earlier process, which may have formatted them differently. */
export async function removeTemplates(folder: string): Promise<void> {
  for (const name of await readdir(folder).catch(() => [])) {
    if (name.startsWith(TEMPLATE_PREFIX)) await rm(join(folder, name))
  }
}

async function makeTemplate(folder: string, diskGiB: number, run: RunCommand): Promise<string> {
  const path = join(folder, `${TEMPLATE_PREFIX}${diskGiB}.img`)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  await rm(path, { force: true })
  await createDiskImage(path, diskGiB, run)
  return path
}
