import type { Block, OutputLog, OutputStream, Segment } from './output-log.ts'
import { BLOCK_BYTES, HEADER_BYTES, recordLength, recordStream } from './output-log.ts'

/** Bytes read from disk at a time: at least one whole record. */
const READ_BYTES = 4 * BLOCK_BYTES

export interface LogPiece {
  readonly stream: OutputStream
  readonly bytes: Buffer
}

/** One reader of a log, with a position of its own. */
export class LogReader {
  /** Output bytes that were read, or reported as missing. */
  position = 0
  readonly #log: OutputLog
  /** The record to read next, and how many of its bytes were read: the last record in memory may still become longer. */
  #record = 0
  #done = 0
  #buffer: Buffer | undefined

  constructor(log: OutputLog) {
    this.#log = log
  }

  /**
   * Returns the output that follows, as far as the output byte `limit`; nothing when there is no more yet. The bytes are
   * valid until the turn of the event loop ends, or the next call. A line of stderr replaces output that is no longer recorded.
   */
  async read(limit: number): Promise<LogPiece[]> {
    while (this.position < Math.min(limit, this.#log.total)) {
      const stretch = this.#log.find(this.#record)
      if (stretch === undefined) return this.#jump(this.#log.end, this.#log.total)
      const notice = stretch.start > this.#record ? this.#jump(stretch.start, stretch.outputBefore) : []
      if (notice.length > 0) return notice
      const pieces = await this.#fromStretch(stretch)
      if (pieces.length > 0) return this.position > limit ? cutAt(pieces, this.position - limit) : pieces
    }
    return []
  }

  #jump(record: number, position: number): LogPiece[] {
    const lost = position - this.position
    this.#record = record
    this.#done = 0
    this.position = position
    return lost > 0 ? [cutNotice(lost)] : []
  }

  async #fromStretch(stretch: Block | Segment): Promise<LogPiece[]> {
    if ('bytes' in stretch) {
      return this.#parse(stretch.bytes.subarray(this.#record - stretch.start, stretch.length), stretch.sealed)
    }
    try {
      return await this.#fromDisk(stretch)
    } catch {
      // The segment was dropped meanwhile or is unreadable: reading goes on after it.
      this.#log.dropSegment(stretch)
      return []
    }
  }

  async #fromDisk(segment: Segment): Promise<LogPiece[]> {
    this.#buffer ??= Buffer.allocUnsafeSlow(READ_BYTES)
    const before = this.#record
    const size = Math.min(READ_BYTES, segment.length - (before - segment.start))
    const { bytesRead } = await segment.file.read(this.#buffer, 0, size, before - segment.start)
    const pieces = this.#parse(this.#buffer.subarray(0, bytesRead), true)
    if (this.#record === before) throw new Error('no whole record')
    return pieces
  }

  /** Parses records; `whole` tells that none of them becomes longer. An incomplete record is left for the next call. */
  #parse(bytes: Buffer, whole: boolean): LogPiece[] {
    const pieces: LogPiece[] = []
    let at = 0
    while (at + HEADER_BYTES <= bytes.length) {
      const header = bytes.readUInt32LE(at)
      const next = at + HEADER_BYTES + recordLength(header)
      if (next > bytes.length) break
      const from = at + HEADER_BYTES + this.#done
      if (from < next) pieces.push({ stream: recordStream(header), bytes: bytes.subarray(from, next) })
      this.position += next - from
      if (next === bytes.length && !whole) {
        this.#done = recordLength(header)
        break
      }
      this.#done = 0
      at = next
    }
    this.#record += at
    return pieces
  }
}

/** Returns the pieces without the last `excess` bytes. */
function cutAt(pieces: readonly LogPiece[], excess: number): LogPiece[] {
  const kept = [...pieces]
  let left = excess
  for (let last = kept.pop(); last !== undefined; last = kept.pop()) {
    if (last.bytes.length > left) return [...kept, { ...last, bytes: last.bytes.subarray(0, last.bytes.length - left) }]
    left -= last.bytes.length
  }
  return kept
}

function cutNotice(lost: number): LogPiece {
  return { stream: 'stderr', bytes: Buffer.from(`[output cut: ${lost} bytes are no longer recorded]\n`) }
}

export interface ReadLogOptions {
  /** Whether to read on until the command has ended. */
  follow: boolean
  signal: AbortSignal
}

/** Reads the same output as `readLog`, but lets the caller choose whether to wait. */
export interface LogFollower {
  /** Returns the output there is now, at most some 256 KiB, valid as for `LogReader`; empty if none yet, or no more. */
  read(): Promise<LogPiece[]>
  /** Resolves with whether there is more output, once that is known. Throws the signal's reason. */
  more(): Promise<boolean>
}

export function followLog(log: OutputLog, { follow, signal }: ReadLogOptions): LogFollower {
  const reader = new LogReader(log)
  // Output that a background process writes after the command's end is not waited for.
  let limit = follow && !log.ended ? Number.POSITIVE_INFINITY : log.total
  return {
    async read() {
      signal.throwIfAborted()
      return await reader.read(limit)
    },
    async more() {
      for (;;) {
        signal.throwIfAborted()
        if (log.ended) limit = Math.min(limit, log.total)
        if (reader.position >= limit) return false
        if (reader.position < log.total) return true
        await change(log, signal)
      }
    },
  }
}

/**
 * Yields the log so far and, when following, later output until the command has ended. A slow reader delays no other.
 * Throws the signal's reason.
 */
export async function* readLog(log: OutputLog, options: ReadLogOptions): AsyncGenerator<LogPiece[]> {
  const follower = followLog(log, options)
  while (await follower.more()) {
    const pieces = await follower.read()
    if (pieces.length > 0) yield pieces
  }
}

function change(log: OutputLog, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      forget()
      reject(signal.reason)
    }
    const forget = log.onChange(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
