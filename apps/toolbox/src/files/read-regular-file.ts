import type { BigIntStats } from 'node:fs'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'
import { fsError } from './fs-error.ts'

/** Bytes read at a time; with the tunnel's window, all that a download holds in memory. */
const READ_BYTES = 64 * 1024

/** An open regular file. The caller that opened it closes it. */
export interface RegularFile {
  readonly handle: FileHandle
  readonly stats: BigIntStats
  /** The path as the caller named it. */
  readonly given: Buffer
}

/**
 * Opens a regular file; links are followed. Throws INVALID_FILE_PATH for folders, pipes, sockets and devices, without
 * waiting for them, and else the file system's error.
 */
export async function openRegularFile(path: Buffer, given: Buffer): Promise<RegularFile> {
  let handle: FileHandle | undefined
  try {
    // O_NONBLOCK: opening a pipe without a writer would wait for ever.
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

/** Yields `length` bytes from `start` on. Throws FILE_READ_FAILED when the file ends before. */
export async function* readExactly(
  file: RegularFile,
  { start, length }: { start: number; length: number },
): AsyncGenerator<Buffer> {
  let position = start
  const end = start + length
  while (position < end) {
    const chunk = await readChunk(file, position, Math.min(READ_BYTES, end - position))
    // The length is announced already, so only breaking off can say that the file shrank.
    if (chunk.length === 0) throw new AppError('FILE_READ_FAILED', `the file shrank while it was read: ${file.given}`)
    position += chunk.length
    yield chunk
  }
}

/** Yields the whole content, whatever the size says: files under /proc have size 0 and some content. */
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
