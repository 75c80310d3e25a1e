import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { mkdir, open, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError } from '@atoll/protocol'
import type { ByteSpan } from './object-store.ts'
import type { ObjectFile } from './stored-object-table.ts'

/** The first characters of a name, which name its subfolder. */
const FOLDER_LETTERS = 2

export interface WrittenFile {
  bytes: number
  /** The digest in hexadecimal. */
  md5: string
}

/**
 * Files with random names in one folder. Only our own code makes the names, so none can lead elsewhere. `incoming/`
 * holds files that are being written, `files/` the complete ones that are on disk.
 */
export interface ObjectFolder {
  /**
   * Writes `body` with bounded memory. The file is complete and flushed when this resolves, and absent when it throws.
   * Throws OBJECT_TOO_LARGE above `maxBytes`, SERVICE_UNAVAILABLE when the disk is full, and the error of the body.
   */
  write(name: string, body: Readable, maxBytes: number): Promise<WrittenFile>
  /** Returns one stream over `span` of the files in order. Undefined when the first file needed is missing. */
  read(files: readonly ObjectFile[], span: ByteSpan): Promise<Readable | undefined>
  remove(name: string): Promise<void>
}

export function createObjectFolder(dir: string): ObjectFolder {
  const incoming = (name: string) => join(dir, 'incoming', name)
  const complete = (name: string) => join(dir, 'files', name.slice(0, FOLDER_LETTERS), name)
  return {
    async write(name, body, maxBytes) {
      const draft = incoming(name)
      const place = complete(name)
      await mkdir(dirname(draft), { recursive: true, mode: 0o700 })
      const made = await mkdir(dirname(place), { recursive: true, mode: 0o700 })
      if (made !== undefined) await Promise.all([dir, join(dir, 'files')].map(flushFolder))
      const measured = { bytes: 0, hash: createHash('md5') }
      try {
        // Opened before the body flows: a body that fails at once would otherwise be cleaned up before its file
        // appears.
        const file = await open(draft, 'wx', 0o600)
        const sink = file.createWriteStream({ flush: true })
        await pipeline(body, (source: AsyncIterable<Buffer>) => measure(source, measured, maxBytes), sink)
        await rename(draft, place)
        await flushFolder(dirname(place))
      } catch (error) {
        await rm(draft, { force: true })
        if (isNoSpace(error)) {
          throw new AppError('SERVICE_UNAVAILABLE', 'The disk that holds the objects is full', { cause: error })
        }
        throw error
      }
      return { bytes: measured.bytes, md5: measured.hash.digest('hex') }
    },
    async read(files, span) {
      const pieces = piecesOf(files, span)
      const [first, ...rest] = pieces
      if (first === undefined) return Readable.from([])
      const opened = await openToRead(complete(first.name))
      if (opened === undefined) return undefined
      const stream = opened.createReadStream({ start: first.start, end: first.end })
      if (rest.length === 0) return stream
      const openPiece = ({ name, start, end }: Piece) => createReadStream(complete(name), { start, end })
      const joined = Readable.from(oneAfterTheOther(stream, rest, openPiece), { objectMode: false })
      // A stream that is closed before its first byte never runs the generator, which would destroy it.
      return joined.once('close', () => stream.destroy())
    },
    async remove(name) {
      await rm(complete(name), { force: true })
      await rm(incoming(name), { force: true })
    },
  }
}

async function* measure(
  source: AsyncIterable<Buffer>,
  measured: { bytes: number; hash: ReturnType<typeof createHash> },
  maxBytes: number,
): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    measured.bytes += chunk.length
    if (measured.bytes > maxBytes) {
      throw new AppError('OBJECT_TOO_LARGE', `The body is longer than ${maxBytes} bytes`)
    }
    measured.hash.update(chunk)
    yield chunk
  }
}

interface Piece {
  name: string
  /** Positions within the file, both included. */
  start: number
  end: number
}

function piecesOf(files: readonly ObjectFile[], span: ByteSpan): Piece[] {
  const pieces: Piece[] = []
  let offset = 0
  for (const { name, bytes } of files) {
    const start = Math.max(span.start - offset, 0)
    const end = Math.min(span.end - offset, bytes - 1)
    if (start <= end) pieces.push({ name, start, end })
    offset += bytes
  }
  return pieces
}

async function* oneAfterTheOther(
  first: Readable,
  rest: readonly Piece[],
  openPiece: (piece: Piece) => Readable,
): AsyncGenerator<Buffer> {
  yield* first
  for (const piece of rest) yield* openPiece(piece)
}

async function openToRead(path: string) {
  try {
    return await open(path)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

async function flushFolder(path: string): Promise<void> {
  const folder = await open(path)
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

function isNoSpace(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')
}
