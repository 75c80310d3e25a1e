import { lstat, mkdir, mkdtemp, readdir, readFile, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { AppError, StagedArchive } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { writeFileWhole } from '../../../files.ts'
import type { SandboxFolder } from '../sandbox-folder.ts'

/** How long an archive is kept that no call reads or continues, in milliseconds: as long as its parts in the object store. */
export const ARCHIVE_KEPT_MS = 24 * 60 * 60 * 1000
/** Bytes that archives leave free on the disk of the data folder: sandboxes' own disks grow into them. */
export const RESERVED_BYTES = 1024 ** 3

const DRAFT = 'draft'
const OUTGOING = 'out-'
const INCOMING = 'in-'
const FACTS = '.json'
const UNPACKED = '.unpacked'
const SCRATCH = 'scratch-'

/** The files of one archive, in its sandbox's folder: they are removed with the sandbox. */
export interface ArchiveFiles {
  /** The archive that is being packed. */
  draft: string
  /** The packed archive; whole once `facts` exists. */
  outgoing: string
  facts: string
  /** The bytes that have arrived. */
  incoming: string
  /** Exists once the archive was unpacked. */
  unpacked: string
}

export function archiveFiles({ archives }: SandboxFolder, archiveId: string): ArchiveFiles {
  const [outgoing, incoming] = [join(archives, OUTGOING + archiveId), join(archives, INCOMING + archiveId)]
  return {
    draft: join(archives, DRAFT),
    ...{ outgoing, facts: outgoing + FACTS, incoming, unpacked: incoming + UNPACKED },
  }
}

/** Makes the folder of a sandbox's archives. Throws SANDBOX_NOT_FOUND where the sandbox's own folder is not there any more. */
async function makeFolder(archives: string): Promise<void> {
  try {
    await mkdir(archives, { mode: 0o700 })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (code === 'ENOENT') throw new AppError('SANDBOX_NOT_FOUND', 'the sandbox was removed', { cause: error })
    if (code !== 'EEXIST') throw error
  }
}

/** Deletes other archives of the same direction: a sandbox has at most one outgoing and one incoming archive. */
export async function makeWay(
  { archives }: SandboxFolder,
  direction: 'outgoing' | 'incoming',
  archiveId: string,
): Promise<void> {
  await makeFolder(archives)
  const prefix = direction === 'outgoing' ? OUTGOING : INCOMING
  for (const name of await readdir(archives)) {
    if (name.startsWith(prefix) && !name.startsWith(prefix + archiveId)) await rm(join(archives, name), { force: true })
  }
}

/** Returns the facts of an archive that was packed earlier; undefined unless it is whole. */
export async function readFacts({ facts }: ArchiveFiles): Promise<StagedArchive | undefined> {
  const text = await readFile(facts, 'utf8').catch(() => '')
  const value = text === '' ? undefined : JSON.parse(text)
  return Value.Check(StagedArchive, value) ? value : undefined
}

export async function writeFacts({ facts }: ArchiveFiles, staged: StagedArchive): Promise<void> {
  await writeFileWhole(facts, JSON.stringify(staged))
}

/** Empty folders for the time of packing or unpacking. */
export interface Scratch extends AsyncDisposable {
  /** Makes another folder. */
  folder(name: string): Promise<string>
}

export async function makeScratch({ archives }: SandboxFolder): Promise<Scratch> {
  await makeFolder(archives)
  const place = await mkdtemp(join(archives, SCRATCH))
  return {
    async folder(name) {
      const path = join(place, name)
      await mkdir(path, { mode: 0o700 })
      return path
    },
    [Symbol.asyncDispose]: () => rm(place, { recursive: true, force: true }),
  }
}

/** Removes files that a crash left, and archives unused for ARCHIVE_KEPT_MS. `now`: milliseconds since the epoch. */
export async function sweepArchives(
  { archives }: Pick<SandboxFolder, 'archives'>,
  { now, isBusy }: { now: number; isBusy: boolean },
): Promise<void> {
  for (const name of await readdir(archives).catch(() => [])) {
    const path = join(archives, name)
    const facts = await lstat(path).catch(() => undefined)
    const isHalfDone = name.startsWith(DRAFT) || name.startsWith(SCRATCH) || name.includes('.draft-')
    const isOver = isHalfDone ? !isBusy : (facts?.mtimeMs ?? now) < now - ARCHIVE_KEPT_MS
    if (isOver) await rm(path, { recursive: true, force: true })
  }
}

/** Throws SERVICE_UNAVAILABLE unless the disk has room for `bytes` more. */
export async function checkRoom(path: string, bytes = 0): Promise<void> {
  const disk = await statfs(path)
  const free = disk.bavail * disk.bsize - RESERVED_BYTES
  if (free < bytes) {
    throw new AppError(
      'SERVICE_UNAVAILABLE',
      `the disk of this runner has no room for an archive: ${RESERVED_BYTES} bytes stay free`,
    )
  }
}
