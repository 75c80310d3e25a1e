import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import { MAX_SNAPSHOT_LOG_BYTES } from '@atoll/protocol'

/** Longest line that is kept; the rest of a longer line is cut off. */
const MAX_LINE_CHARACTERS = 8_192
/** Room for the last line, which says how many bytes are not kept. */
const LAST_LINE_BYTES = 128
const READ_BYTES = 64 * 1024

/** The log of making a snapshot, in a file; one making writes it, many callers read it at their own pace. */
export interface SnapshotLog {
  /** Writes one line, which is given without its line end. */
  append(line: string): void
  /** Counts bytes that are not kept, as further lines then are not. */
  skip(bytes: number): void
  /** Ignores further lines. Resolves when all lines are in the file; throws when one could not be written. */
  close(): Promise<void>
  /** Closes the log, and ends the readers that follow it, also where lines could not be written. */
  end(): Promise<void>
}

/** A log that can be followed while it grows. */
export interface OpenSnapshotLog extends SnapshotLog {
  readonly isEnded: boolean
  /** Resolves when the log has more than `size` bytes or has ended, or `signal` aborts. */
  grown(size: number, signal: AbortSignal): Promise<void>
}

/** Makes the log's file, which must not exist. */
export async function createSnapshotLog(path: string): Promise<OpenSnapshotLog> {
  const file = await open(path, 'wx', 0o600)
  return new FileLog(file)
}

class FileLog implements OpenSnapshotLog {
  isEnded = false
  readonly #file: FileHandle
  readonly #readers = new Set<() => void>()
  #writing: Promise<void> = Promise.resolve()
  /** Text that no write has taken yet. */
  #unwritten = ''
  /** Bytes that were appended, and bytes that are in the file. */
  #size = 0
  #written = 0
  #lost = 0
  #closed = false

  constructor(file: FileHandle) {
    this.#file = file
  }

  append(line: string): void {
    if (this.#closed) return
    const clean = line.replaceAll('\r', '').slice(0, MAX_LINE_CHARACTERS)
    const bytes = Buffer.byteLength(clean) + 1
    if (this.#lost > 0 || this.#size + bytes > MAX_SNAPSHOT_LOG_BYTES - LAST_LINE_BYTES) {
      this.#lost += bytes
      return
    }
    this.#size += bytes
    this.#write(`${clean}\n`)
  }

  skip(bytes: number): void {
    this.#lost += bytes
  }

  async close(): Promise<void> {
    if (!this.#closed && this.#lost > 0) this.#write(`(${this.#lost} more bytes are not kept)\n`)
    this.#closed = true
    await this.#writing
  }

  async end(): Promise<void> {
    await this.close().catch(() => undefined)
    if (this.isEnded) return
    this.isEnded = true
    this.#wake()
    await this.#file.sync().finally(() => this.#file.close())
  }

  grown(size: number, signal: AbortSignal): Promise<void> {
    if (this.isEnded || this.#written > size || signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const wake = () => {
        this.#readers.delete(wake)
        signal.removeEventListener('abort', wake)
        resolve()
      }
      this.#readers.add(wake)
      signal.addEventListener('abort', wake)
    })
  }

  /** Lines that come while others are written are written together: there may be millions. */
  #write(text: string): void {
    const isFirst = this.#unwritten === ''
    this.#unwritten += text
    if (!isFirst) return
    this.#writing = this.#writing.then(async () => {
      const bytes = Buffer.from(this.#unwritten)
      this.#unwritten = ''
      await this.#file.writeFile(bytes)
      this.#written += bytes.length
      this.#wake()
    })
    // `close` throws this error.
    this.#writing.catch(() => undefined)
  }

  #wake(): void {
    for (const wake of [...this.#readers]) wake()
  }
}

export interface ReadLogOptions {
  /** Bytes to leave out at the beginning. */
  from: number
  /** The growing log, which is read until it ends. Absent: the file is read to its present end. */
  follow?: OpenSnapshotLog | undefined
  signal: AbortSignal
}

/** Yields the bytes of a log's file. Ends early, without an error, when `signal` aborts. */
export async function* readSnapshotLog(
  file: FileHandle,
  { from, follow, signal }: ReadLogOptions,
): AsyncGenerator<Buffer> {
  try {
    let position = from
    for (;;) {
      // The check comes before reading, so that lines written just before the end are still read.
      const isLast = follow === undefined || follow.isEnded
      const { buffer, bytesRead } = await file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, position)
      position += bytesRead
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead)
      else if (isLast) return
      else await follow.grown(position, signal)
      if (signal.aborted) return
    }
  } finally {
    await file.close()
  }
}
