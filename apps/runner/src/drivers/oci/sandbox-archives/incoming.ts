import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ArrivedArchive, UnpackArchive } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import { isThere } from '../../../files.ts'
import type { SandboxFolder } from '../sandbox-folder.ts'
import type { ArchiveFiles } from './archives-folder.ts'
import { archiveFiles, checkRoom, makeWay } from './archives-folder.ts'

/** Bytes that are written between two checks of the room on the disk. */
const ROOM_LOOK_BYTES = 64 * 1024 * 1024

/** Returns how many bytes have arrived so far, and whether the archive was unpacked. */
export async function arrivedOf(files: ArchiveFiles): Promise<ArrivedArchive> {
  if (await isThere(files.unpacked)) return { bytes: 0, unpacked: true }
  const facts = await stat(files.incoming).catch(() => undefined)
  return { bytes: facts?.size ?? 0, unpacked: false }
}

export interface Arrival {
  folder: SandboxFolder
  archiveId: string
  from: number
  content: Readable
  /** Most bytes of the whole archive. */
  maxBytes: number
  signal: AbortSignal
}

/** Writes the content after the first `from` bytes; bytes that arrived before a failure stay. */
export async function receiveArchive(arrival: Arrival): Promise<ArrivedArchive> {
  const { folder, archiveId, from, content, signal } = arrival
  const files = archiveFiles(folder, archiveId)
  try {
    await makeWay(folder, 'incoming', archiveId)
    const { bytes, unpacked } = await arrivedOf(files)
    if (unpacked) return { bytes: 0, unpacked }
    if (bytes < from) throw new AppError('CONFLICT', `only ${bytes} bytes of this archive have come`)
  } catch (error) {
    content.destroy()
    throw error
  }
  const file = await open(files.incoming, from === 0 ? 'w' : 'r+', 0o600)
  await file.truncate(from)
  const sink = file.createWriteStream({ start: from, flush: true })
  await pipeline(content, (source: AsyncIterable<Buffer>) => bounded(source, arrival, files), sink, { signal })
  return await arrivedOf(files)
}

async function* bounded(
  source: AsyncIterable<Buffer>,
  { from, maxBytes }: Arrival,
  { incoming }: ArchiveFiles,
): AsyncGenerator<Buffer> {
  let bytes = from
  let lookAt = 0
  for await (const chunk of source) {
    if (bytes >= lookAt) {
      await checkRoom(incoming)
      lookAt = bytes + ROOM_LOOK_BYTES
    }
    bytes += chunk.length
    if (bytes > maxBytes) throw new AppError('PAYLOAD_TOO_LARGE', 'the archive is larger than its disk could fill')
    yield chunk
  }
}

/** Throws SERVICE_UNAVAILABLE, and deletes the file, unless its size and hash are those of `whole`. */
export async function checkArrived(files: ArchiveFiles, whole: UnpackArchive, signal: AbortSignal): Promise<void> {
  const hash = createHash('sha256')
  let bytes = 0
  if (await isThere(files.incoming)) {
    for await (const chunk of createReadStream(files.incoming, { signal })) {
      bytes += chunk.length
      hash.update(chunk)
    }
  }
  if (bytes === whole.bytes && hash.digest('hex') === whole.sha256) return
  await rm(files.incoming, { force: true })
  throw new AppError('SERVICE_UNAVAILABLE', 'what has come of the archive is not what was announced')
}
