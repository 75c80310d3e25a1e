import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { RunnerVolume } from '@atoll/protocol'
import { AppError, DEFAULT_VOLUME_GIB, VolumeId } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { Static } from 'typebox'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { createKeyedQueue } from '../../../concurrency.ts'
import { flushFolder, writeFileWhole } from '../../../files.ts'
import type { RunCommand } from '../../../run-command.ts'
import type { VolumeHolder } from '../../volume-holder.ts'
import { removeTree } from '../remove-tree.ts'
import { createDiskImage, IMAGE_FILE, repairSharedImage, waitForRelease } from '../sandbox-disk.ts'

const GIB = 1024 ** 3
const RECORD_FILE = 'volume.json'
const DRAFT_MARK = '.draft-'
/** Folder of a volume's file system that sandboxes see: ext4's own folder lies outside of it. */
export const DATA_FOLDER = 'data'
/** Folder that holds the files instead of an image, on a host without loop devices. */
const FILES_FOLDER = 'files'
const MEASURE_DEADLINE_MS = 60_000

/** Makes the folder that sandboxes see, writable for every user because sandboxes' accounts differ. */
const MAKE_DATA = `
set -eu
if [ "$1" = image ]; then mount -t ext4 -o loop,nosuid,nodev "$2/${IMAGE_FILE}" "$2/mount"; cd "$2/mount"
else cd "$2/${FILES_FOLDER}"
fi
mkdir ${DATA_FOLDER}
chmod 777 ${DATA_FOLDER}
sync -f .
`

const VolumeRecord = Type.Object({
  sizeGiB: Type.Number(),
  disk: Type.Union([Type.Literal('image'), Type.Literal('folder')]),
})
type VolumeRecord = Static<typeof VolumeRecord>

/** Location of a volume's file system. */
export interface VolumePlace {
  kind: 'image' | 'folder'
  /** Path of the image or of the folder; either contains DATA_FOLDER. */
  path: string
}

export interface OciVolumes extends VolumeHolder {
  /** Returns the location of a volume. Throws VOLUME_NOT_FOUND. */
  place(volumeId: string): VolumePlace
  /** Repairs volumes that have met errors and are in no running sandbox. Throws VOLUME_NOT_FOUND, and CommandError where it cannot. */
  repair(volumeIds: readonly string[]): Promise<void>
}

export interface OciVolumesOptions {
  /** Holds a folder for each volume. */
  folder: string
  disk: 'image' | 'folder'
  log: Logger
  run: RunCommand
  /** Returns whether a sandbox, running or stopped, has this volume. */
  isUsed: (volumeId: string) => boolean
}

/** Opens the volumes of a folder; removes drafts that an interrupted making or removal left. */
export async function openOciVolumes(options: OciVolumesOptions): Promise<OciVolumes> {
  const { folder, run } = options
  const records = new Map<string, VolumeRecord>()
  for (const name of await readdir(folder)) {
    const record = name.includes(DRAFT_MARK) ? undefined : await readRecord(join(folder, name, RECORD_FILE))
    if (record) records.set(name, record)
    // A volume without a readable record may still hold a user's files: it is left alone.
    else if (name.includes(DRAFT_MARK)) await sweepDraft(join(folder, name), options)
  }
  const queue = createKeyedQueue()
  const find = (volumeId: string) => {
    assertVolumeId(volumeId)
    const record = records.get(volumeId)
    if (record) return record
    throw new AppError('VOLUME_NOT_FOUND', `there is no volume ${volumeId} on this runner`)
  }
  const place = (volumeId: string): VolumePlace => {
    const { disk } = find(volumeId)
    return { kind: disk, path: join(folder, volumeId, disk === 'image' ? IMAGE_FILE : FILES_FOLDER) }
  }
  const view = async (volumeId: string): Promise<RunnerVolume> => {
    const { sizeGiB } = find(volumeId)
    return { volumeId, sizeGiB, usedGiB: (await usedBytes(place(volumeId), run)) / GIB }
  }
  return {
    place,
    repair: async (volumeIds) => {
      for (const { kind, path } of volumeIds.map(place)) if (kind === 'image') await repairSharedImage(path, run)
    },
    get: view,
    list: () => Promise.all([...records.keys()].map(view)),
    make: async (volumeId, { sizeGiB = DEFAULT_VOLUME_GIB }) => {
      assertVolumeId(volumeId)
      return queue.run(volumeId, async () => {
        if (!records.has(volumeId)) {
          const record = { sizeGiB, disk: options.disk }
          await makeVolumeFolder(join(folder, volumeId), record, run)
          records.set(volumeId, record)
        }
        return view(volumeId)
      })
    },
    remove: async (volumeId) => {
      assertVolumeId(volumeId)
      await queue.run(volumeId, async () => {
        if (!records.has(volumeId)) return
        if (options.isUsed(volumeId))
          throw new AppError('VOLUME_IN_USE', `volume ${volumeId} is in a sandbox on this runner`)
        records.delete(volumeId)
        const doomed = join(folder, `${volumeId}${DRAFT_MARK}${randomUUID()}`)
        // From the rename on the volume does not exist, even if this process is killed.
        await rename(join(folder, volumeId), doomed)
        await removeTree(doomed, run)
      })
    },
  }
}

/** Removes a draft; one that cannot be removed is left to the next start. */
async function sweepDraft(draft: string, { log, run }: OciVolumesOptions): Promise<void> {
  try {
    await removeTree(draft, run)
  } catch (error) {
    log.error({ err: error, draft }, 'what is left of a volume cannot be removed')
  }
}

function assertVolumeId(volumeId: string): void {
  if (!Value.Check(VolumeId, volumeId))
    throw new AppError('BAD_REQUEST', 'a volume id is 1 to 63 letters, digits, - and _')
}

async function makeVolumeFolder(target: string, record: VolumeRecord, run: RunCommand): Promise<void> {
  const draft = `${target}${DRAFT_MARK}${randomUUID()}`
  try {
    for (const path of [draft, join(draft, 'mount')]) await mkdir(path, { mode: 0o700 })
    if (record.disk === 'image') await createDiskImage(join(draft, IMAGE_FILE), record.sizeGiB, run)
    else await mkdir(join(draft, FILES_FOLDER), { mode: 0o755 })
    await run(['unshare', '--mount', '--', 'sh', '-c', MAKE_DATA, 'volume', record.disk, draft])
    await waitForRelease(join(draft, IMAGE_FILE))
    await writeFileWhole(join(draft, RECORD_FILE), JSON.stringify(record))
    await rename(draft, target)
    await flushFolder(dirname(target))
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
}

async function usedBytes({ kind, path }: VolumePlace, run: RunCommand): Promise<number> {
  if (kind === 'image') return (await stat(path)).blocks * 512
  const { stdout } = await run(['du', '-s', '-x', '--block-size=1', path], { deadlineMs: MEASURE_DEADLINE_MS })
  return Number.parseInt(stdout, 10)
}

async function readRecord(path: string): Promise<VolumeRecord | undefined> {
  try {
    const record: unknown = JSON.parse(await readFile(path, 'utf8'))
    return Value.Check(VolumeRecord, record) ? record : undefined
  } catch {
    // The record is absent or not whole.
    return undefined
  }
}
