import type { BigIntStats } from 'node:fs'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'
import { fsError } from './fs-error.ts'

/** Read at a time; with the tunnel's window, all that a download holds in memory. */
const READ_BYTES = 64 * 1024

/** An open regular file. Whoever opened it closes it. */
export interface RegularFile {
  readonly handle: FileHandle
  readonly stats: BigIntStats
  /** What the caller named. */
  readonly given: Buffer
}

/**
 * Opens a regular file; links are followed. Folders, pipes, sockets and devices are refused with INVALID_FILE_PATH,
 * never waited on; else throws what the file system says.
 */
export async function openRegularFile(path: Buffer, given: Buffer): Promise<RegularFile> {
  let handle: FileHandle | undefined
  try {
    // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
    handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    const stats = await handle.stat({ bigint: true })
    if (stats.isDirectory()) throw new AppError('INVALID_FILE_PATH', `is a directory: ${given}`)
    if (!stats.isFile()) throw new AppError('INVALID_FILE_PATH', `not a regular file: ${given}`)
    return { handle, stats, given }
  } catch (error) {
    await handle?.close()
    throw fsError(error, given, 'FILE_READ_FAILED')
  }
}

/** The bytes from `start` on. Throws FILE_READ_FAILED when the file ends before there were `length`. */
export async function* readExactly(
  file: RegularFile,
  { start, length }: { start: number; length: number },
): AsyncGenerator<Buffer> {
  let position = start
  const end = start + length
  while (position < end) {
    const chunk = await readChunk(file, position, Math.min(READ_BYTES, end - position))
    // The length is announced already: breaking off is the only way to say that the file shrank.
    if (chunk.length === 0) throw new AppError('FILE_READ_FAILED', `the file shrank while it was read: ${file.given}`)
    position += chunk.length
    yield chunk
  }
}

/** All there is, whatever the size says: files under /proc say 0 and hold something. */
export async function* readToEnd(file: RegularFile): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const chunk = await readChunk(file, position, READ_BYTES)
    if (chunk.length === 0) return
    position += chunk.length
    yield chunk
  }
}

async function readChunk({ handle, given }: RegularFile, position: number, length: number): Promise<Buffer> {
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.allocUnsafeSlow(length), 0, length, position)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw fsError(error, given, 'FILE_READ_FAILED')
  }
}
