import type { FileHandle } from 'node:fs/promises'
import type { LogStore } from './log-store.ts'

export type OutputStream = 'stdout' | 'stderr'

/** Before each record: its length and its stream, in one number. */
export const HEADER_BYTES = 4
/** Memory is taken and written to disk in blocks of this. A record never spans two, so it is never longer. */
export const BLOCK_BYTES = 64 * 1024
const FIRST_BLOCK_BYTES = 1024
/** Full blocks are written to disk when there are this many: each write costs a turn of the thread pool. */
const WRITE_BLOCKS = 8
const MAX_BATCH_BLOCKS = 16
/** Full blocks in memory above which the log asks its writer to wait for the disk. */
const MAX_UNWRITTEN_BLOCKS = 16

/** Records that follow each other, in memory or on disk. */
export interface Stretch {
  /** Where it begins among all that was ever appended, headers counted. */
  readonly start: number
  /** In bytes, headers counted. */
  length: number
  /** Output that was appended before it, headers not counted. */
  readonly outputBefore: number
}

export interface Block extends Stretch {
  bytes: Buffer
  /** No record of it becomes longer any more. */
  sealed: boolean
  /** Where its last record begins, within the block, and of which stream it is. */
  last: { at: number; stream: OutputStream } | undefined
}

/** A file without a name, whose space is free again once it is closed. */
export interface Segment extends Stretch {
  readonly file: FileHandle
}

/**
 * Records the output of one command: small output in memory, more of it on disk, and of too much the newest part. What
 * disk and memory have no place for is missing, never waited for. Made by `LogStore`, which bounds all logs together.
 */
export class OutputLog {
  /** Bytes of output that were ever appended, recorded or not. */
  total = 0
  /** Where the next record will begin, at the earliest. */
  end = 0
  /** Whether the command has ended; what its background processes write is still appended. */
  ended = false
  readonly segments: Segment[] = []
  /** The last one may be open; those before wait for the disk. */
  #blocks: Block[] = []
  readonly #store: LogStore
  readonly #listeners = new Set<() => void>()
  #drained: (() => void)[] = []
  #released = false
  #writing = false

  constructor(store: LogStore) {
    this.#store = store
  }

  append(stream: OutputStream, chunk: Buffer): void {
    if (this.#released) return
    let rest = chunk
    while (rest.length > 0) rest = rest.subarray(this.#put(this.#openBlock(), stream, rest))
    // It handles its own failures.
    if (!this.#writing && this.#unwritten() >= WRITE_BLOCKS) void this.#write()
    this.#changed()
  }

  /** Whether the writer should wait for `onDrain`: the disk is slower than the output. */
  get full(): boolean {
    return this.#unwritten() >= MAX_UNWRITTEN_BLOCKS
  }

  /** Calls once when the log is no longer full, or is released. */
  onDrain(listener: () => void): void {
    this.#drained.push(listener)
  }

  /** The command has ended, and all it wrote is appended. */
  finish(): void {
    this.ended = true
    const last = this.#blocks.at(-1)
    if (last !== undefined && last.length < last.bytes.length) {
      this.#store.hold(this, last.length - last.bytes.length)
      last.bytes = Buffer.from(last.bytes.subarray(0, last.length))
    }
    if (!this.#writing && this.#unwritten() > 0) void this.#write()
    this.#store.finished(this)
    this.#changed()
  }

  /** Calls once when something is appended, or the log ends; returns how to take that back. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** For readers: the first stretch that has, or follows, the record at an offset. */
  find(offset: number): Block | Segment | undefined {
    const reaches = (stretch: Stretch) => stretch.start + stretch.length > offset
    return this.segments.find(reaches) ?? this.#blocks.find(reaches)
  }

  dropSegment(segment: Segment): void {
    const index = this.segments.indexOf(segment)
    if (index === -1) return
    this.segments.splice(index, 1)
    this.#store.closeSegment(segment)
  }

  /** Drops what is recorded so far. */
  dropAll(): void {
    for (const segment of [...this.segments]) this.dropSegment(segment)
    this.#takeOut(this.#blocks)
  }

  /** Ends the log for its readers; drops what is recorded and all that is appended later. */
  release(): void {
    if (this.#released) return
    this.#released = true
    this.ended = true
    this.dropAll()
    this.#callDrained()
    this.#store.forget(this)
    this.#changed()
  }

  #changed(): void {
    if (this.#listeners.size === 0) return
    const called = [...this.#listeners]
    this.#listeners.clear()
    for (const listener of called) listener()
  }

  #callDrained(): void {
    for (const listener of this.#drained.splice(0)) listener()
  }

  #unwritten(): number {
    return this.#blocks.length - (this.#blocks.at(-1)?.sealed === false ? 1 : 0)
  }

  #openBlock(): Block {
    const last = this.#blocks.at(-1)
    if (last !== undefined && !last.sealed) return last
    const { end: start, total: outputBefore } = this
    const block = { start, outputBefore, length: 0, bytes: Buffer.alloc(0), sealed: false, last: undefined }
    this.#blocks.push(block)
    return block
  }

  /** Appends what fits, lengthening the last record where it is of the same stream; returns how much that was. */
  #put(block: Block, stream: OutputStream, chunk: Buffer): number {
    const lengthens = block.last?.stream === stream
    const headerBytes = lengthens ? 0 : HEADER_BYTES
    const size = Math.min(chunk.length, BLOCK_BYTES - block.length - headerBytes)
    this.#grow(block, block.length + headerBytes + size)
    const last = lengthens && block.last !== undefined ? block.last : { at: block.length, stream }
    const before = lengthens ? recordLength(block.bytes.readUInt32LE(last.at)) : 0
    block.bytes.writeUInt32LE(recordHeader(stream, before + size), last.at)
    chunk.copy(block.bytes, block.length + headerBytes, 0, size)
    block.last = last
    block.length += headerBytes + size
    this.end += headerBytes + size
    this.total += size
    // What is left could hold no record.
    if (BLOCK_BYTES - block.length <= HEADER_BYTES) block.sealed = true
    return size
  }

  #grow(block: Block, needed: number): void {
    if (needed <= block.bytes.length) return
    const size = Math.min(BLOCK_BYTES, Math.max(FIRST_BLOCK_BYTES, 2 * block.bytes.length, needed))
    const grown = size === BLOCK_BYTES ? this.#store.takeBlock() : Buffer.allocUnsafeSlow(size)
    block.bytes.copy(grown, 0, 0, block.length)
    this.#store.hold(this, size - block.bytes.length)
    block.bytes = grown
  }

  /** Returns those that were there. */
  #takeOut(blocks: readonly Block[]): Block[] {
    const gone = new Set(blocks)
    const held = this.#blocks.filter((block) => gone.has(block))
    this.#blocks = this.#blocks.filter((block) => !gone.has(block))
    this.#store.hold(this, -held.reduce((sum, block) => sum + block.bytes.length, 0))
    return held
  }

  async #write(): Promise<void> {
    this.#writing = true
    while (this.#unwritten() >= (this.ended ? 1 : WRITE_BLOCKS)) {
      const batch = this.#blocks.slice(0, Math.min(this.#unwritten(), MAX_BATCH_BLOCKS))
      const written = await this.#writeBatch(batch).then(
        () => true,
        () => false,
      )
      // A disk that is full or broken costs this part of the record, but not the end of it; readers are told.
      if (!written && this.ended && this.#unwritten() <= WRITE_BLOCKS) break
      for (const { bytes } of this.#takeOut(batch)) this.#store.giveBlock(bytes)
      if (!this.full) this.#callDrained()
    }
    this.#writing = false
  }

  async #writeBatch(batch: readonly Block[]): Promise<void> {
    const length = batch.reduce((sum, block) => sum + block.length, 0)
    const segment = await this.#segmentFor(batch, length)
    const parts = batch.map((block) => block.bytes.subarray(0, block.length))
    const { bytesWritten } = await segment.file.writev(parts, segment.length)
    if (bytesWritten === length) segment.length += length
  }

  /** The last one, if it is there for what directly follows it. */
  async #segmentFor(batch: readonly Block[], length: number): Promise<Segment> {
    const [first] = batch
    if (first === undefined) throw new Error('nothing to write')
    const last = this.segments.at(-1)
    const follows = last !== undefined && last.start + last.length === first.start
    if (follows && this.#store.fits(last, length)) return last
    const file = await this.#store.openSegment(this)
    const segment = { start: first.start, length: 0, outputBefore: first.outputBefore, file }
    if (this.#released) this.#store.closeSegment(segment)
    else this.segments.push(segment)
    return segment
  }
}

/** A record's header as a number. */
function recordHeader(stream: OutputStream, length: number): number {
  return length * 2 + (stream === 'stderr' ? 1 : 0)
}

/** The length of a record, from its header. */
export function recordLength(header: number): number {
  return header >>> 1
}

/** The stream of a record, from its header. */
export function recordStream(header: number): OutputStream {
  return header & 1 ? 'stderr' : 'stdout'
}
