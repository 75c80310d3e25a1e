import { FLAG_END, FRAME_HEADER_BYTES, type FrameType, frameTypes, writeFrameHeader } from './frame.ts'
import type { Link } from './types.ts'

/**
 * Messages are cut from slabs of this size, so that small ones need no allocation each. The messages of one flush in one
 * slab leave in one write: at 64 KiB most flushes of an upload were split over two slabs, which cost a fifth of its speed.
 */
const SLAB_BYTES = 256 * 1024

/**
 * The size of the first slab of a link that was idle: room for its pings and one or two calls. With a whole slab for each
 * ping, V8 marked the heap every other second for 500 idle links.
 */
const FIRST_SLAB_BYTES = 4 * 1024

/** The number of slabs kept to be used again: a full link has less than one under way. */
const MAX_SPARE_SLABS = 2

/** A message with less room than this is sent as it is instead of being filled with a small part of a long chunk. */
const MIN_USEFUL_ROOM_BYTES = 4 * 1024

interface FrameStart {
  type: FrameType
  exchangeId: number
}

/** Gathers frames into messages of at most `maxMessageBytes`; only a single longer frame makes a longer message. */
export class MessageWriter {
  private readonly link: Link
  private readonly maxMessageBytes: number
  private slab = new Slab(0)
  private spare: Slab[] = []
  /** The message being gathered lies in the slab from `start` up to `offset`. */
  private start = 0
  private offset = 0
  /** The last frame gathered, if it may carry the flag END. */
  private lastHeaderAt = 0
  private lastExchangeId = 0

  constructor(link: Link, maxMessageBytes: number) {
    this.link = link
    this.maxMessageBytes = maxMessageBytes
  }

  /** Bytes gathered and not yet handed to the link. */
  get pendingBytes(): number {
    return this.offset - this.start
  }

  /** The longest payload worth cutting from a long chunk now. */
  get usefulRoomBytes(): number {
    const room = this.maxMessageBytes - this.pendingBytes - FRAME_HEADER_BYTES
    return room >= MIN_USEFUL_ROOM_BYTES ? room : this.maxMessageBytes - FRAME_HEADER_BYTES
  }

  /** Writes a frame whose payload is text in latin1. */
  writeText(frame: FrameStart, text: string): void {
    const at = this.open(frame, text.length)
    this.slab.bytes.write(text, at, text.length, 'latin1')
  }

  writeBytes(frame: FrameStart, bytes: Uint8Array): void {
    const at = this.open(frame, bytes.length)
    this.slab.bytes.set(bytes, at)
  }

  /** Writes a frame whose payload is `bytes` from `from` up to `to`. */
  writePart(frame: FrameStart, bytes: Buffer, part: { from: number; to: number }): void {
    const at = this.open(frame, part.to - part.from)
    bytes.copy(this.slab.bytes, at, part.from, part.to)
  }

  /** Sets END on the last frame if it is of this exchange and not sent yet; returns whether it did. */
  markEnd(exchangeId: number): boolean {
    if (this.lastExchangeId !== exchangeId || this.pendingBytes === 0) return false
    this.slab.bytes[this.lastHeaderAt + 1] = FLAG_END
    return true
  }

  /** Passes the gathered message to the link. */
  flush(): void {
    if (this.offset === this.start) return
    const message = { slab: this.slab.bytes, start: this.start, end: this.offset }
    this.start = this.offset + this.link.headroomBytes
    this.offset = this.start
    this.lastExchangeId = 0
    this.slab.underWay += 1
    this.link.send(message, this.slab.sent)
  }

  /** Frees all slabs except a first one, so that an idle link holds little memory and pings without allocating. */
  release(): void {
    this.spare = []
    if (this.offset !== this.start) return
    const isFirst = this.slab.bytes.length === FIRST_SLAB_BYTES && this.slab.underWay === 0
    this.use(isFirst ? this.slab : new Slab(0))
  }

  private open(frame: FrameStart, length: number): number {
    const bytes = FRAME_HEADER_BYTES + length
    if (this.pendingBytes + bytes > this.maxMessageBytes) this.flush()
    if (this.offset + bytes > this.slab.bytes.length) {
      this.flush()
      this.use(this.slabFor(bytes))
    }
    const headerAt = this.offset
    writeFrameHeader(this.slab.bytes, headerAt, { type: frame.type, flags: 0, exchangeId: frame.exchangeId, length })
    this.offset += bytes
    this.lastHeaderAt = headerAt
    this.lastExchangeId = frame.type <= frameTypes.data ? frame.exchangeId : 0
    return headerAt + FRAME_HEADER_BYTES
  }

  private slabFor(bytes: number): Slab {
    const neededBytes = bytes + this.link.headroomBytes
    // All its messages have left, so the slab is used again: a link that is seldom used keeps its first slab.
    if (this.slab.underWay === 0 && neededBytes <= this.slab.bytes.length) return this.slab
    if (this.slab.bytes.length === 0 && neededBytes <= FIRST_SLAB_BYTES) return new Slab(FIRST_SLAB_BYTES)
    if (this.slab.bytes.length === SLAB_BYTES && this.spare.length < MAX_SPARE_SLABS) this.spare.push(this.slab)
    const free = neededBytes <= SLAB_BYTES ? this.spare.findIndex((slab) => slab.underWay === 0) : -1
    const [reused] = free === -1 ? [] : this.spare.splice(free, 1)
    return reused ?? new Slab(Math.max(SLAB_BYTES, neededBytes))
  }

  private use(slab: Slab): void {
    this.slab = slab
    this.start = this.link.headroomBytes
    this.offset = this.start
  }
}

/** The memory for messages, with the number of its messages that the link still needs. */
class Slab {
  readonly bytes: Buffer
  underWay = 0
  readonly sent = (): void => {
    this.underWay -= 1
  }

  constructor(bytes: number) {
    this.bytes = Buffer.allocUnsafeSlow(bytes)
  }
}
