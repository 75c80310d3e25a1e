import type { FileHandle } from 'node:fs/promises'
import type { LogStore } from './log-store.ts'

export type OutputStream = 'stdout' | 'stderr'

/** The bytes before each record: its length and its stream, in one number. */
export const HEADER_BYTES = 4
/** The unit in which memory is taken and written to disk. A record never spans two blocks, so it is never longer. */
export const BLOCK_BYTES = 64 * 1024
const FIRST_BLOCK_BYTES = 1024
/** Full blocks are written to disk when there are this many: each write costs a turn of the thread pool. */
const WRITE_BLOCKS = 8
const MAX_BATCH_BLOCKS = 16
/** Full blocks in memory above which the log asks its writer to wait for the disk. */
const MAX_UNWRITTEN_BLOCKS = 16

/** Records that follow each other, in memory or on disk. */
export interface Stretch {
  /** The offset of its first byte among all that was ever appended, headers counted. */
  readonly start: number
  /** The length in bytes, headers counted. */
  length: number
  /** Bytes of output that were appended before it, headers not counted. */
  readonly outputBefore: number
}

export interface Block extends Stretch {
  bytes: Buffer
  /** Whether no record of the block becomes longer any more. */
  sealed: boolean
  /** The start of the last record, within the block, and its stream. */
  last: { at: number; stream: OutputStream } | undefined
}

/** A file without a name, whose space is free again once the file is closed. */
export interface Segment extends Stretch {
  readonly file: FileHandle
}

/**
 * Records the output of one command: small output in memory, more of it on disk, and of too much the newest part. Output
 * that neither disk nor memory can hold is lost: nothing waits for it. `LogStore` makes logs and bounds them together.
 */
export class OutputLog {
  /** Bytes of output that were ever appended, recorded or not. */
  total = 0
  /** The earliest offset at which the next record begins. */
  end = 0
  /** Whether the command has ended; output of its background processes is still appended. */
  ended = false
  readonly segments: Segment[] = []
  /** The last block may be open; the earlier ones wait for the disk. */
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
    // `#write` handles its own failures.
    if (!this.#writing && this.#unwritten() >= WRITE_BLOCKS) void this.#write()
    this.#changed()
  }

  /** Whether the writer should wait for `onDrain`: the disk is slower than the output. */
  get full(): boolean {
    return this.#unwritten() >= MAX_UNWRITTEN_BLOCKS
  }

  /** Calls the listener once, when the log is no longer full or is released. */
  onDrain(listener: () => void): void {
    this.#drained.push(listener)
  }

  /** Marks the end of the command, after all its output was appended. */
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

  /** Calls the listener once, when something is appended or the log ends; returns a function that takes that back. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Returns the first stretch that has, or follows, the record at an offset. For readers. */
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

  /** Drops all output recorded so far. */
  dropAll(): void {
    for (const segment of [...this.segments]) this.dropSegment(segment)
    this.#takeOut(this.#blocks)
  }

  /** Ends the log for its readers; drops all recorded output and all that is appended later. */
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

  /** Appends as much as fits, lengthening the last record if it is of the same stream; returns how many bytes that was. */
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
    // The rest of the block could hold no record.
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

  /** Removes blocks from memory and returns those that were there. */
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
      // A full or broken disk costs this part of the record, but not its last blocks; readers are told.
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

  /** Returns the last segment if the batch directly follows it and fits, else a new one. */
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

/** Returns a record's header as a number. */
function recordHeader(stream: OutputStream, length: number): number {
  return length * 2 + (stream === 'stderr' ? 1 : 0)
}

/** Returns the length of a record, from its header. */
export function recordLength(header: number): number {
  return header >>> 1
}

/** Returns the stream of a record, from its header. */
export function recordStream(header: number): OutputStream {
  return header & 1 ? 'stderr' : 'stdout'
}
