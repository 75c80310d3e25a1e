import { AppError } from '@atoll/protocol'
import { CommandError, WITH_ALL_IT_STARTS } from '../../../run-command.ts'
import { ArchiveError } from '../archive/archive-error.ts'
import { decompress } from '../archive/decompress.ts'
import { unpackLayer } from '../archive/unpack-layer.ts'
import type { OciHost } from '../oci-host.ts'
import { MOUNT_DISK, repairDiskImage, waitForRelease } from '../sandbox-disk.ts'
import type { SandboxFolder, SandboxRecord } from '../sandbox-folder.ts'
import { currentSpec } from '../sandbox-folder.ts'
import { makeScratch } from './archives-folder.ts'

const GIB = 1024 ** 3
/** Factor on the disk's size: an archive counts its files more roughly than a disk, on which they must fit in any case. */
const COUNTING_SLACK = 2
/** Length of the shortest entry of a folder in ext4, in bytes: it bounds how many names a disk can hold. */
const SHORTEST_NAME_BYTES = 12
/** How long large trees may take to be removed and flushed, in milliseconds. */
const SWAP_DEADLINE_MS = 10 * 60_000

/** Messages of tar when the disk is full, also for a file that was written in part. */
const DISK_IS_FULL = /No space left|Wrote only/

/** Mounts a disk, if it is an image, for as long as the rest of the script runs. */
const MOUNT = `${MOUNT_DISK}
set -eu
if [ "$1" = image ]; then mount_disk "$2" "$3" nosuid,nodev,noinit_itable; fi
`

/**
 * Makes an empty folder on the disk and runs the rest of the arguments. A sandbox that never ran has no work folder, and no
 * files but those of an earlier try, which are removed because they would take the room twice.
 */
const PREPARE = `${MOUNT}
rm -rf "$3/incoming"
if [ ! -e "$3/work" ]; then rm -rf "$3/upper"; fi
mkdir -m 755 "$3/incoming"
shift 3
exec "$@"
`

/** Renames the folder into the place of the sandbox's changed files. */
const SWAP = `${MOUNT}
cd "$3"
rm -rf replaced
if [ -d upper ]; then mv upper replaced; fi
mv incoming upper
rm -rf replaced
sync -f .
`

/** A sandbox that does not run, and does not start while a call uses it. */
export interface StoppedSandbox {
  folder: SandboxFolder
  record: SandboxRecord
}

export interface Replacement {
  host: OciHost
  hasZstd: boolean
  sandbox: StoppedSandbox
  /** A compressed archive whose size and hash were checked before. */
  content: AsyncIterable<Buffer>
  signal: AbortSignal
}

/** Replaces the sandbox's files by those of an archive. Throws BAD_REQUEST for content that is no such archive, and DISK_FULL. */
export async function replaceFiles({ host, hasZstd, sandbox, content, signal }: Replacement): Promise<void> {
  const { folder, record } = sandbox
  const { diskGiB } = currentSpec(record).limits
  await using scratch = await makeScratch(folder)
  try {
    const [jail, mount] = [await scratch.folder('jail'), await scratch.folder('disk')]
    const second = { jail: await scratch.folder('second-jail'), scratch: await scratch.folder('empty') }
    if (record.disk === 'image') await repairDiskImage(await host.disks.reach(folder.image), host.run)
    const plain = decompress(content, { ...second, hasZstd, isWhole: true, signal })
    await withDisk(host, sandbox, async (source) => {
      const disk = diskArguments(sandbox, source, mount)
      const through = [...WITH_ALL_IT_STARTS, 'sh', '-c', PREPARE, 'disk', ...disk]
      const target = `${disk[2]}/incoming`
      await unpackLayer(plain, { kind: 'layer', ...boundsOf(record, diskGiB), target, jail, through, signal })
    })
    await waitForRelease(folder.image)
    await withDisk(host, sandbox, async (source) => {
      const swap = ['sh', '-c', SWAP, 'disk', ...diskArguments(sandbox, source, mount)] as const
      await host.run([...WITH_ALL_IT_STARTS, ...swap], { deadlineMs: SWAP_DEADLINE_MS, endsWithRunner: true })
    })
  } catch (error) {
    if (error instanceof ArchiveError) throw new AppError('BAD_REQUEST', error.message, { cause: error })
    if (error instanceof CommandError && DISK_IS_FULL.test(error.message)) {
      throw new AppError('DISK_FULL', `its files do not fit on a disk of ${diskGiB} GiB`, { cause: error })
    }
    throw error
  } finally {
    await waitForRelease(folder.image)
  }
}

/** Returns the bounds of an archive. The bytes on an image need none: it is as large as it was when the files were made. */
function boundsOf({ disk }: SandboxRecord, diskGiB: number): { maxBytes: number; maxEntries: number } {
  const maxEntries = Math.ceil((diskGiB * GIB) / SHORTEST_NAME_BYTES)
  return { maxBytes: disk === 'image' ? Number.POSITIVE_INFINITY : diskGiB * GIB * COUNTING_SLACK, maxEntries }
}

/** Attaches a sandbox's image and calls `use` with the source to mount; with an empty text for a folder. */
async function withDisk(
  { disks }: OciHost,
  { folder, record }: StoppedSandbox,
  use: (source: string) => Promise<void>,
): Promise<void> {
  await using disk = record.disk === 'image' ? await disks.attach(folder.image) : undefined
  await use(disk?.source ?? '')
}

/** Returns the arguments of the scripts above. */
function diskArguments({ folder, record }: StoppedSandbox, source: string, mount: string): [string, string, string] {
  return record.disk === 'image' ? ['image', source, mount] : ['folder', folder.files, folder.files]
}
