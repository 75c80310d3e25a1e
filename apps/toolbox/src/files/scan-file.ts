import { close, constants, fstat, open, read } from 'node:fs'
import { promisify } from 'node:util'
import { errnoOf } from './fs-error.ts'
import { createLineScanner } from './line-scanner.ts'
import type { Finder } from './literal.ts'
import type { LineMatch } from './text-match.ts'
import { isBinary } from './text-match.ts'

/** Read at a time: most source files are whole in it. */
export const SCAN_BYTES = 64 * 1024
/** Matches handed over at a time. */
const BATCH_SIZE = 256

const KERNEL_MADE = /^\/(proc|sys)\//

// A FileHandle costs as much as all three together.
const openFile = promisify(open)
const readFile = promisify(read)
const statFile = promisify(fstat)

export interface Scan {
  /** Latin1, one character a byte. */
  path: string
  finder: Finder
  /** At least SCAN_BYTES; the scan's own until it has ended. */
  buffer: Buffer
  signal: AbortSignal
  /** Lines up to this one are not told. */
  after?: number
}

/**
 * The lines of one regular file that hold the text, as they are read; none of a binary one. Throws what the file
 * system says.
 */
export async function* scanFile(scan: Scan): AsyncGenerator<LineMatch[]> {
  const lines = await findLines(scan)
  if (lines !== undefined) yield* lines
}

/**
 * The same, given to `emit`, for a file that was found: one that cannot be read, or is gone by now, holds nothing.
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

/** undefined when no line holds the text. What is returned has to be iterated: that closes the file. */
async function findLines(scan: Scan): Promise<AsyncGenerator<LineMatch[]> | undefined> {
  // O_NONBLOCK and O_NOFOLLOW: for what was a file when its folder was read and is a pipe or a link by now.
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
  // Only an invalid number could fail, and this one is ours.
  close(fd, () => {})
}

/** The text is in the file, which is all in the buffer where it is given. */
interface Found {
  whole: Buffer | undefined
}

/** Most files do not hold it: they are read once, as fast as memory is searched, and their lines are not looked at. */
async function lookForText(fd: number, scan: Scan): Promise<Found | undefined> {
  const { path, finder, buffer, signal } = scan
  const { bytesRead } = await readFile(fd, buffer, 0, buffer.length, 0)
  const start = buffer.subarray(0, bytesRead)
  if (bytesRead === 0 || isBinary(start)) return undefined
  signal.throwIfAborted()
  const holds = finder.indexIn(start, 0) >= 0
  // On a disk a short read is the end. What the kernel makes up comes in pieces.
  if (bytesRead < buffer.length && !KERNEL_MADE.test(path)) return holds ? { whole: start } : undefined
  return holds || (await laterHolds(fd, scan, bytesRead)) ? { whole: undefined } : undefined
}

/** Whether the text lies behind the first `searched` bytes, which the buffer holds, or on their edge. */
async function laterHolds(fd: number, { finder, buffer, signal }: Scan, searched: number): Promise<boolean> {
  // Only a device, put where a file was, could go on for ever.
  if (!(await statFile(fd)).isFile()) return false
  let end = searched
  for (let position = searched; ; ) {
    // What could be the beginning of the text goes before what is read next.
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
