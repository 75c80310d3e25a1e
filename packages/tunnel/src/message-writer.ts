import { FLAG_END, FRAME_HEADER_BYTES, type FrameType, frameTypes, writeFrameHeader } from './frame.ts'
import type { Link } from './types.ts'

/** Messages are cut from slabs of this size, so that small ones do not cost an allocation each. */
const SLAB_BYTES = 64 * 1024

/** A message with less room than this is sent rather than filled with a sliver of a long chunk. */
const MIN_USEFUL_ROOM_BYTES = 4 * 1024

/** Gathers frames into messages of at most `maxMessageBytes`; only a longer frame makes a longer message. */
export class MessageWriter {
  private readonly link: Link
  private readonly maxMessageBytes: number
  private slab: Buffer = Buffer.alloc(0)
  /** The message being gathered is `slab` from `start` up to `offset`. */
  private start = 0
  private offset = 0
  /** The last frame gathered, if it is one that may carry the flag END. */
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

  /** A frame whose payload is text, one byte a character. */
  writeText(frame: { type: FrameType; exchangeId: number }, text: string): void {
    const at = this.open(frame.type, frame.exchangeId, text.length)
    this.slab.write(text, at, text.length, 'latin1')
  }

  writeBytes(frame: { type: FrameType; exchangeId: number }, bytes: Uint8Array): void {
    const at = this.open(frame.type, frame.exchangeId, bytes.length)
    this.slab.set(bytes, at)
  }

  /** A frame whose payload is `bytes` from `from` up to `to`. */
  writePart(frame: { type: FrameType; exchangeId: number }, bytes: Buffer, part: { from: number; to: number }): void {
    const at = this.open(frame.type, frame.exchangeId, part.to - part.from)
    bytes.copy(this.slab, at, part.from, part.to)
  }

  /** Says in the last frame that it completes its half, if that frame is this exchange's and still here. */
  markEnd(exchangeId: number): boolean {
    if (this.lastExchangeId !== exchangeId || this.pendingBytes === 0) return false
    this.slab[this.lastHeaderAt + 1] = FLAG_END
    return true
  }

  /** Hands the message gathered so far to the link. */
  flush(): void {
    if (this.offset === this.start) return
    const message = this.slab.subarray(this.start, this.offset)
    this.start = this.offset
    this.lastExchangeId = 0
    this.link.send(message)
  }

  /** Lets go of the slab, so that an idle link holds none. */
  release(): void {
    if (this.offset === this.start) {
      this.slab = Buffer.alloc(0)
      this.start = 0
      this.offset = 0
    }
  }

  private open(type: FrameType, exchangeId: number, length: number): number {
    const bytes = FRAME_HEADER_BYTES + length
    if (this.pendingBytes + bytes > this.maxMessageBytes) this.flush()
    if (this.offset + bytes > this.slab.length) {
      this.flush()
      this.slab = Buffer.allocUnsafeSlow(Math.max(SLAB_BYTES, bytes))
      this.start = 0
      this.offset = 0
    }
    const headerAt = this.offset
    writeFrameHeader(this.slab, headerAt, { type, flags: 0, exchangeId, length })
    this.offset += bytes
    this.lastHeaderAt = headerAt
    this.lastExchangeId = type <= frameTypes.data ? exchangeId : 0
    return headerAt + FRAME_HEADER_BYTES
  }
}
