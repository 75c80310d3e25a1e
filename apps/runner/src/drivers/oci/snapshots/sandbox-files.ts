import type { LaunchedSandbox } from '../launch-sandbox.ts'
import type { OciHost } from '../oci-host.ts'
import { reachRunningDisk } from '../running-disk.ts'
import { MOUNT_DISK, repairDiskImage, waitForRelease } from '../sandbox-disk.ts'
import type { SandboxFolder, SandboxRecord } from '../sandbox-folder.ts'
import { packFiles } from './copy-files.ts'
import type { LayerDraft } from './layer-store.ts'
import type { MakeContext } from './make-context.ts'

/** A sandbox that does not change while it is read. */
export interface StillSandbox {
  folder: SandboxFolder
  record: SandboxRecord
  /** The run of a running sandbox, which is frozen. */
  running?: LaunchedSandbox | undefined
}

/** Mounts a stopped sandbox's disk for as long as the command in the arguments runs. */
const MOUNT_AND_RUN = `${MOUNT_DISK}
set -eu
mount_disk "$1" "$2" nosuid,nodev,noinit_itable
if [ -L "$2/$3" ]; then exit 1; fi
[ -d "$2/$3" ] || mkdir -p "$2/$3"
shift 3
exec "$@"
`

/** The parts of a context that packing needs: folders for as long as it runs. */
export interface PackContext extends Pick<MakeContext, 'host' | 'signal'> {
  layers: { draft(): Promise<Pick<LayerDraft, 'scratch' | 'discard'>> }
}

/** Yields the files that a sandbox has changed as a tar archive of kind `layer`. */
export async function* packUpper(
  { host, layers, signal }: PackContext,
  { folder, record, running }: StillSandbox,
): AsyncGenerator<Buffer> {
  if (running !== undefined) {
    const disk = await reachRunningDisk({ folder, record }, running)
    return yield* packFiles({ through: disk.through, folder: `${disk.folder}/upper`, signal })
  }
  if (record.disk === 'folder') {
    const through = ['sh', '-c', '[ -d "$1" ] || mkdir -p "$1"; shift; exec "$@"', 'files', `${folder.files}/upper`]
    return yield* packFiles({ through, folder: `${folder.files}/upper`, signal })
  }
  yield* packDisk({ host, layers, signal }, { folder, record }, 'upper')
}

/** Yields a folder of a stopped sandbox's disk as a tar archive; makes the folder where it is missing. */
export async function* packDisk(
  { host, layers, signal }: Omit<PackContext, 'host'> & { host: Pick<OciHost, 'run' | 'disks'> },
  { folder }: StillSandbox,
  name: string,
): AsyncGenerator<Buffer> {
  const draft = await layers.draft()
  try {
    await repairDiskImage(await host.disks.reach(folder.image), host.run)
    await using disk = await host.disks.attach(folder.image)
    const mount = [MOUNT_AND_RUN, 'mount', disk.source, draft.scratch, name]
    const through = ['unshare', '--mount', '--', 'sh', '-c', ...mount]
    yield* packFiles({ through, folder: `${draft.scratch}/${name}`, signal })
  } finally {
    await waitForRelease(folder.image)
    await draft.discard()
  }
}
