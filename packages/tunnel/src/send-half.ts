import { type FrameType, frameTypes } from './frame.ts'
import type { MessageWriter } from './message-writer.ts'
import type { SendScheduler } from './send-scheduler.ts'
import { violation } from './tunnel-error.ts'

/** `write` returns false from the first of these sizes of the queue of an exchange; `onDrain` comes at the second. */
const QUEUE_HIGH_BYTES = 128 * 1024
const QUEUE_LOW_BYTES = 32 * 1024

/** Chunks up to this size are copied into the message being gathered at once, if nothing waits before them. */
const FAST_PATH_BYTES = 4 * 1024

/** A credit beyond this is a mistake of the peer or an attack by integer overflow. */
const MAX_CREDIT_BYTES = 2 ** 31 - 1

const EMPTY = Buffer.alloc(0)

interface Head {
  type: FrameType
  text: string
}

/** The callbacks for the progress of sending. */
export interface SendListener {
  /** The queue is low again after `write` returned false. */
  onDrain(): void
  /** The end has been handed to the writer. */
  onEnded(): void
}

/** The sending half of one exchange: a head, then data as far as the other end's credit goes, then the end. */
export class SendHalf {
  /** Whether the scheduler has this half in its round. */
  scheduled = false
  /** The end has been handed to the writer; nothing follows. */
  ended = false
  /** Bytes taken by `write` that wait for credit, for the turn of this half or for the link. */
  queuedBytes = 0
  private readonly id: number
  private readonly scheduler: SendScheduler
  private readonly listener: SendListener
  private credit: number
  private head: Head | undefined
  private headSent = false
  private queue: Buffer[] = []
  private first = 0
  private firstOffset = 0
  private ending = false
  private discarding = false
  private drainAwaited = false

  constructor(options: { id: number; scheduler: SendScheduler; credit: number; listener: SendListener }) {
    this.id = options.id
    this.scheduler = options.scheduler
    this.credit = options.credit
    this.listener = options.listener
  }

  /** Whether the head of this half has been sent. */
  get started(): boolean {
    return this.headSent
  }

  /** Whether `emit` would send something. */
  get sendable(): boolean {
    if (this.head !== undefined) return true
    if (!this.headSent || this.ended) return false
    return this.queuedBytes > 0 ? this.credit > 0 : this.ending
  }

  sendHead(head: Head): void {
    this.head = head
    if (this.scheduler.blocked) {
      this.scheduler.schedule(this)
      return
    }
    this.emitHead(this.scheduler.writer)
    this.scheduler.planFlush()
  }

  write(chunk: Uint8Array): boolean {
    if (this.ending || this.discarding || chunk.length === 0) return this.queuedBytes < QUEUE_HIGH_BYTES
    if (this.takesFastPath(chunk.length)) {
      this.credit -= chunk.length
      this.scheduler.writer.writeBytes({ type: frameTypes.data, exchangeId: this.id }, chunk)
      this.scheduler.planFlush()
      return true
    }
    this.queue.push(Buffer.isBuffer(chunk) ? chunk : Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength))
    this.account(chunk.length)
    this.scheduler.schedule(this)
    if (this.queuedBytes < QUEUE_HIGH_BYTES) return true
    this.drainAwaited = true
    return false
  }

  end(): void {
    if (this.ending) return
    this.ending = true
    this.drainAwaited = false
    if (this.queuedBytes === 0 && this.headSent && this.scheduler.writer.markEnd(this.id)) this.hasEnded()
    else this.scheduler.schedule(this)
  }

  /** Adds credit that the other end granted. Throws a violation if it is 0 or the sum is more than a window can hold. */
  addCredit(bytes: number): void {
    if (bytes === 0 || this.credit + bytes > MAX_CREDIT_BYTES) throw violation('a credit is out of bounds')
    this.credit += bytes
    if (this.queuedBytes > 0) this.scheduler.schedule(this)
  }

  /** Drops the queue and ends the half, because the other end reads no more. */
  stop(): void {
    if (this.ended) return
    this.discard()
    this.ending = true
    this.scheduler.schedule(this)
    this.drained()
  }

  /** Drops the queue; nothing more is sent. */
  abandon(): void {
    this.head = undefined
    this.discard()
    this.ended = true
  }

  /** Passes up to `quantumBytes` to the writer; the scheduler calls it when it is this half's turn. */
  emit(writer: MessageWriter, quantumBytes: number): void {
    if (this.head !== undefined) this.emitHead(writer)
    let left = quantumBytes
    while (left > 0 && this.credit > 0 && this.queuedBytes > 0) left -= this.emitChunk(writer, left)
    if (this.queuedBytes <= QUEUE_LOW_BYTES) this.drained()
    if (this.queuedBytes === 0 && this.ending && !this.ended && this.headSent) {
      if (!writer.markEnd(this.id)) {
        writer.writeBytes({ type: frameTypes.data, exchangeId: this.id }, EMPTY)
        writer.markEnd(this.id)
      }
      this.hasEnded()
    }
  }

  private takesFastPath(bytes: number): boolean {
    return (
      bytes <= FAST_PATH_BYTES &&
      this.queuedBytes === 0 &&
      bytes <= this.credit &&
      this.headSent &&
      !this.scheduler.blocked
    )
  }

  private emitHead(writer: MessageWriter): void {
    if (this.head === undefined) return
    writer.writeText({ type: this.head.type, exchangeId: this.id }, this.head.text)
    this.head = undefined
    this.headSent = true
  }

  private emitChunk(writer: MessageWriter, most: number): number {
    const chunk = this.queue[this.first] ?? EMPTY
    const from = this.firstOffset
    const bytes = Math.min(chunk.length - from, this.credit, most, writer.usefulRoomBytes)
    writer.writePart({ type: frameTypes.data, exchangeId: this.id }, chunk, { from, to: from + bytes })
    this.credit -= bytes
    this.account(-bytes)
    this.firstOffset += bytes
    if (this.firstOffset === chunk.length) this.dropFirst()
    return bytes
  }

  private dropFirst(): void {
    this.queue[this.first] = EMPTY
    this.first += 1
    this.firstOffset = 0
    if (this.first === this.queue.length) {
      this.queue = []
      this.first = 0
    }
  }

  private discard(): void {
    this.discarding = true
    this.account(-this.queuedBytes)
    this.queue = []
    this.first = 0
    this.firstOffset = 0
  }

  private hasEnded(): void {
    this.ended = true
    this.listener.onEnded()
  }

  private account(bytes: number): void {
    this.queuedBytes += bytes
    this.scheduler.queuedBytes += bytes
  }

  private drained(): void {
    if (!this.drainAwaited) return
    this.drainAwaited = false
    this.listener.onDrain()
  }
}
