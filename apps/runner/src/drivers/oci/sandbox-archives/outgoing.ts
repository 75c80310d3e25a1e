import { createHash } from 'node:crypto'
import { open, rename, rm, utimes } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { StagedArchive } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { compress } from '../archive/compress.ts'
import type { OciHost } from '../oci-host.ts'
import type { StillSandbox } from '../snapshots/sandbox-files.ts'
import { packUpper } from '../snapshots/sandbox-files.ts'
import type { ArchiveFiles } from './archives-folder.ts'
import { archiveFiles, checkRoom, makeScratch, makeWay, writeFacts } from './archives-folder.ts'

/** Bytes that are written between two checks of the room on the disk. */
const ROOM_LOOK_BYTES = 64 * 1024 * 1024

export interface Packing {
  host: OciHost
  hasZstd: boolean
  sandbox: StillSandbox
  archiveId: string
  signal: AbortSignal
}

/** Packs a sandbox's files into a file that is either whole or absent. */
export async function packArchive({ host, hasZstd, sandbox, archiveId, signal }: Packing): Promise<StagedArchive> {
  const { folder } = sandbox
  const files = archiveFiles(folder, archiveId)
  await makeWay(folder, 'outgoing', archiveId)
  await using scratch = await makeScratch(folder)
  const [jail, empty] = [await scratch.folder('jail'), await scratch.folder('empty')]
  const layers = {
    draft: async () => ({ scratch: await scratch.folder('disk'), discard: async () => undefined }),
  }
  const { format, content } = compress(packUpper({ host, signal, layers }, sandbox), {
    ...{ jail, scratch: empty, hasZstd, signal },
  })
  const measured = { bytes: 0, hash: createHash('sha256') }
  try {
    const file = await open(files.draft, 'w', 0o600)
    await pipeline(measure(content, measured, files), file.createWriteStream({ flush: true }), { signal })
    await rename(files.draft, files.outgoing)
    const staged = { bytes: measured.bytes, sha256: measured.hash.digest('hex'), format }
    await writeFacts(files, staged)
    return staged
  } catch (error) {
    await rm(files.draft, { force: true })
    throw error
  }
}

async function* measure(
  content: AsyncIterable<Buffer>,
  measured: { bytes: number; hash: ReturnType<typeof createHash> },
  { draft }: ArchiveFiles,
): AsyncGenerator<Buffer> {
  let lookAt = 0
  for await (const chunk of content) {
    if (measured.bytes >= lookAt) {
      await checkRoom(draft)
      lookAt = measured.bytes + ROOM_LOOK_BYTES
    }
    measured.bytes += chunk.length
    measured.hash.update(chunk)
    yield chunk
  }
}

/** Returns bytes of a packed archive; reading them keeps it from being swept. Throws NOT_FOUND. */
export async function readArchive(
  files: ArchiveFiles,
  { from, bytes }: { from: number; bytes: number },
): Promise<Readable> {
  const file = await open(files.outgoing, 'r').catch((cause: unknown) => {
    throw new AppError('NOT_FOUND', 'this archive does not lie ready', { cause })
  })
  const now = new Date()
  await Promise.all([utimes(files.outgoing, now, now), utimes(files.facts, now, now)]).catch(() => undefined)
  return file.createReadStream({ start: from, end: from + Math.max(bytes, 1) - 1 })
}

/** Removes an archive that is not needed again, outgoing or incoming. */
export async function discardArchive(files: ArchiveFiles): Promise<void> {
  // Removes the facts first: without them there is no archive.
  for (const path of [files.facts, files.outgoing, files.incoming, files.unpacked]) await rm(path, { force: true })
}
