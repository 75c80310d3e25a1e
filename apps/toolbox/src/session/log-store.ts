import type { FileHandle } from 'node:fs/promises'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { openNamelessFile } from './nameless-file.ts'
import type { Segment } from './output-log.ts'
import { BLOCK_BYTES, OutputLog } from './output-log.ts'

/** The size of a segment, in which space on disk is taken and given back. */
export const SEGMENT_BYTES = 8 * 1024 * 1024
/** Segments kept of one command: 128 MiB. */
export const MAX_COMMAND_SEGMENTS = 16
/** Segments kept of one session: 256 MiB. */
export const MAX_SESSION_SEGMENTS = 32
/** Segments kept of all commands: 512 MiB. */
export const MAX_SEGMENTS = 64
/** Memory of all logs together, above which the logs of the commands that ended first are dropped. */
export const MAX_MEMORY_BYTES = 8 * 1024 * 1024
/** Space on the disk that is left to the sandbox. */
const MIN_FREE_BYTES = 64 * 1024 * 1024

/** Blocks kept for reuse: allocating them anew costs more than filling them. */
const MAX_SPARE_BLOCKS = 16

interface Holder {
  readonly log: OutputLog
  readonly session: object
  memoryBytes: number
}

/** Bounds what the logs of all commands hold, in memory and on disk: the commands that ended first make room. */
export class LogStore {
  readonly #running = new Map<OutputLog, Holder>()
  /** Ended commands, in the order of their ends. */
  readonly #finished = new Map<OutputLog, Holder>()
  readonly #spare: Buffer[] = []
  #memoryBytes = 0

  /** Makes the log of a command; `session` is any object that stands for its session. Release the log when it is not needed. */
  createLog(session: object): OutputLog {
    const log = new OutputLog(this)
    this.#running.set(log, { log, session, memoryBytes: 0 })
    return log
  }

  // The logs call the methods below.

  finished(log: OutputLog): void {
    const holder = this.#running.get(log)
    if (holder === undefined) return
    this.#running.delete(log)
    this.#finished.set(log, holder)
  }

  forget(log: OutputLog): void {
    this.#running.delete(log)
    this.#finished.delete(log)
  }

  /** Counts memory that a log takes, or gives back if `bytes` is negative, and drops older logs above the bound. */
  hold(log: OutputLog, bytes: number): void {
    const holder = this.#running.get(log) ?? this.#finished.get(log)
    if (holder === undefined) return
    holder.memoryBytes += bytes
    this.#memoryBytes += bytes
    if (bytes <= 0) return
    for (const other of this.#finished.values()) {
      if (this.#memoryBytes <= MAX_MEMORY_BYTES) return
      if (other.log !== log && other.memoryBytes > 0) other.log.dropAll()
    }
  }

  takeBlock(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(BLOCK_BYTES)
  }

  /** Takes back a block that is on disk; readers may look at it until the present turn of the event loop ends. */
  giveBlock(block: Buffer): void {
    if (block.length === BLOCK_BYTES && this.#spare.length < MAX_SPARE_BLOCKS) this.#spare.push(block)
  }

  /** Makes room within the bounds and opens a file. Rejects when the disk has too little room. */
  async openSegment(log: OutputLog): Promise<FileHandle> {
    const all = [...this.#finished.values(), ...this.#running.values()]
    const own = all.filter((holder) => holder.log === log)
    const [session] = own.map((holder) => holder.session)
    makeRoom(own, MAX_COMMAND_SEGMENTS)
    makeRoom(
      all.filter((holder) => holder.session === session),
      MAX_SESSION_SEGMENTS,
    )
    makeRoom(all, MAX_SEGMENTS)
    const { bavail, bsize } = await statfs(tmpdir())
    if (bavail * bsize < MIN_FREE_BYTES + SEGMENT_BYTES) throw new Error('too little room on the disk')
    return await openNamelessFile()
  }

  closeSegment({ file }: Segment): void {
    // Closing waits for a read or write on its way; the file's content is not needed, so a failure does not matter.
    file.close().catch(() => {})
  }

  fits(segment: Segment, bytes: number): boolean {
    return segment.length + bytes <= SEGMENT_BYTES
  }
}

/** At the limit, drops the oldest segment of the command that ended first, else of the one with the most segments. */
function makeRoom(holders: readonly Holder[], limit: number): void {
  const logs = holders.map(({ log }) => log).filter((log) => log.segments.length > 0)
  if (logs.reduce((sum, log) => sum + log.segments.length, 0) < limit) return
  const most = Math.max(...logs.map((log) => log.segments.length))
  const victim = logs.find((log) => log.ended) ?? logs.find((log) => log.segments.length === most)
  const [oldest] = victim?.segments ?? []
  if (oldest !== undefined) victim?.dropSegment(oldest)
}
