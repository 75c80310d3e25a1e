import { close, constants, fstat, open, read } from 'node:fs'
import { promisify } from 'node:util'
import { errnoOf } from '../fs-error.ts'
import type { Finder } from '../literal.ts'
import { createLineScanner } from './line-scanner.ts'
import type { LineMatch } from './text-match.ts'
import { isBinary } from './text-match.ts'

/** Bytes read at a time: most source files fit. */
export const SCAN_BYTES = 64 * 1024
/** Matches passed on at a time. */
const BATCH_SIZE = 256

const KERNEL_MADE = /^\/(proc|sys)\//

// A FileHandle costs as much as these three together.
const openFile = promisify(open)
const readFile = promisify(read)
const statFile = promisify(fstat)

export interface Scan {
  /** The path in Latin1, one character a byte. */
  path: string
  finder: Finder
  /** Holds at least SCAN_BYTES; no other scan may use it until this one has ended. */
  buffer: Buffer
  signal: AbortSignal
  /** Lines up to this one are not reported. */
  after?: number
}

/**
 * Yields the lines of one regular file that contain the text, as they are read; none of a binary file. Throws the file
 * system's error.
 */
export async function* scanFile(scan: Scan): AsyncGenerator<LineMatch[]> {
  const lines = await findLines(scan)
  if (lines !== undefined) yield* lines
}

/**
 * Passes the same lines to `emit`, for a file found in a folder: one that cannot be read, or is gone by now, has none.
 * NOTE: a generator would cost as much as reading a small file.
 */
export async function scanFoundFile(scan: Scan, emit: (matches: LineMatch[]) => Promise<void>): Promise<void> {
  try {
    const lines = await findLines(scan)
    if (lines === undefined) return
    for await (const matches of lines) await emit(matches)
  } catch (error) {
    if (errnoOf(error) === undefined) throw error
  }
}

/** Returns undefined when no line contains the text. The caller has to iterate the result, which closes the file. */
async function findLines(scan: Scan): Promise<AsyncGenerator<LineMatch[]> | undefined> {
  // O_NONBLOCK and O_NOFOLLOW: the file may have become a pipe or a link since its folder was read.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW
  const fd = await openFile(Buffer.from(scan.path, 'latin1'), flags)
  let found: Found | undefined
  try {
    found = await lookForText(fd, scan)
  } finally {
    if (found === undefined || found.whole !== undefined) closeQuietly(fd)
  }
  if (found === undefined) return undefined
  return found.whole === undefined ? linesOfFile(fd, scan) : linesOf(found.whole, scan)
}

function closeQuietly(fd: number): void {
  // Closing fails only for an invalid number, and this number is ours.
  close(fd, () => {})
}

/** The result for a file with the text; `whole` is its content if all of it is in the buffer. */
interface Found {
  whole: Buffer | undefined
}

/** Returns undefined for a file without the text. Most are: they are read once, as fast as memory is searched, without lines. */
async function lookForText(fd: number, scan: Scan): Promise<Found | undefined> {
  const { path, finder, buffer, signal } = scan
  const { bytesRead } = await readFile(fd, buffer, 0, buffer.length, 0)
  const start = buffer.subarray(0, bytesRead)
  if (bytesRead === 0 || isBinary(start)) return undefined
  signal.throwIfAborted()
  const holds = finder.indexIn(start, 0) >= 0
  // On a disk a short read is the end of the file. Files that the kernel makes up come in pieces.
  if (bytesRead < buffer.length && !KERNEL_MADE.test(path)) return holds ? { whole: start } : undefined
  return holds || (await laterHolds(fd, scan, bytesRead)) ? { whole: undefined } : undefined
}

/** Returns whether the text lies behind the first `searched` bytes, which the buffer holds, or across their edge. */
async function laterHolds(fd: number, { finder, buffer, signal }: Scan, searched: number): Promise<boolean> {
  // Only a device that has replaced the file could go on for ever.
  if (!(await statFile(fd)).isFile()) return false
  let end = searched
  for (let position = searched; ; ) {
    // Bytes that could be the beginning of the text go before the next read.
    const kept = Math.min(finder.length - 1, end)
    buffer.copy(buffer, 0, end - kept, end)
    const { bytesRead } = await readFile(fd, buffer, kept, buffer.length - kept, position)
    if (bytesRead === 0) return false
    signal.throwIfAborted()
    end = kept + bytesRead
    position += bytesRead
    if (finder.indexIn(buffer.subarray(0, end), 0) >= 0) return true
  }
}

async function* linesOfFile(fd: number, scan: Scan): AsyncGenerator<LineMatch[]> {
  const { finder, buffer, signal } = scan
  try {
    const scanner = createLineScanner(finder)
    for (let position = 0; ; ) {
      const { bytesRead } = await readFile(fd, buffer, 0, SCAN_BYTES, position)
      signal.throwIfAborted()
      if (bytesRead === 0) break
      position += bytesRead
      yield* inBatches(scanner.push(buffer.subarray(0, bytesRead)), scan)
    }
    yield* inBatches(scanner.end(), scan)
  } finally {
    closeQuietly(fd)
  }
}

async function* linesOf(whole: Buffer, scan: Scan): AsyncGenerator<LineMatch[]> {
  const scanner = createLineScanner(scan.finder)
  yield* inBatches(scanner.push(whole), scan)
  yield* inBatches(scanner.end(), scan)
}

function* inBatches(lines: Iterable<{ line: number; content: string }>, { path, after = 0 }: Scan) {
  let batch: LineMatch[] = []
  for (const { line, content } of lines) {
    if (line > after) batch.push({ path, line, content })
    if (batch.length < BATCH_SIZE) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}
