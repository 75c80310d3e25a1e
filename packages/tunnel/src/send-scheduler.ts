import { MessageWriter } from './message-writer.ts'
import type { SendHalf } from './send-half.ts'
import type { Link } from './types.ts'

/** The bytes that one exchange sends before the next has its turn. */
const QUANTUM_BYTES = 32 * 1024

/** With at most this many open exchanges a message leaves at once instead of waiting for frames of others. */
const FEW_EXCHANGES = 2

/** An object with small frames to send ahead of all data: credit, stops, resets, pings. */
export interface ControlSource {
  emitControl(writer: MessageWriter): void
}

/**
 * The send queue of a link. Small frames of one turn of the event loop leave in one message. Exchanges take turns to send
 * data, so that none waits for another's queue. The link never gets more than its bound.
 */
export class SendScheduler {
  readonly writer: MessageWriter
  /** Bytes queued over all exchanges. */
  queuedBytes = 0
  private readonly link: Link
  private readonly maxLinkBufferBytes: number
  private readonly openExchanges: () => number
  private round: SendHalf[] = []
  private controls = new Set<ControlSource>()
  private flushPlanned = false
  private closed = false

  constructor(options: {
    link: Link
    maxFrameBytes: number
    maxLinkBufferBytes: number
    openExchanges: () => number
  }) {
    this.link = options.link
    this.writer = new MessageWriter(options.link, options.maxFrameBytes)
    this.maxLinkBufferBytes = options.maxLinkBufferBytes
    this.openExchanges = options.openExchanges
  }

  /** Whether heads and data must wait because the link is full. */
  get blocked(): boolean {
    return this.closed || this.link.bufferedBytes + this.writer.pendingBytes >= this.maxLinkBufferBytes
  }

  /** Gives a half its turns until it has nothing to send. */
  schedule(half: SendHalf): void {
    if (half.scheduled || !half.sendable) return
    half.scheduled = true
    this.round.push(half)
    this.planFlush()
  }

  /** Notes that `source` has control frames, to be sent before any more data. */
  scheduleControl(source: ControlSource): void {
    this.controls.add(source)
    this.planFlush()
  }

  /** Flushes at the end of this turn of the event loop. */
  planFlush(): void {
    if (this.flushPlanned || this.closed) return
    this.flushPlanned = true
    if (this.openExchanges() <= FEW_EXCHANGES) process.nextTick(this.flush)
    else setImmediate(this.flush)
  }

  /** Continues to send, because the link has room again. */
  linkDrained(): void {
    if (this.waiting) this.flush()
  }

  private readonly flush = (): void => {
    this.flushPlanned = false
    if (this.closed) return
    this.link.cork()
    this.emitControls()
    this.emitRound()
    this.writer.flush()
    this.link.uncork()
    // The network took everything at once: continue in another turn, so that other work gets the event loop in between.
    if (this.waiting && !this.blocked && !this.flushPlanned) {
      this.flushPlanned = true
      setImmediate(this.flush)
    }
  }

  private get waiting(): boolean {
    return this.round.length > 0 || this.controls.size > 0
  }

  /** Drops all queues; frames that were gathered but not sent are lost with the link. */
  close(): void {
    this.closed = true
    this.round = []
    this.controls.clear()
  }

  /** Sends control frames up to twice the bound of the link, so that they pass while data is blocked. */
  private emitControls(): void {
    for (const source of this.controls) {
      if (this.link.bufferedBytes + this.writer.pendingBytes >= 2 * this.maxLinkBufferBytes) return
      this.controls.delete(source)
      source.emitControl(this.writer)
    }
  }

  private emitRound(): void {
    let turn = 0
    while (turn < this.round.length && !this.blocked) {
      const half = this.round[turn]
      turn += 1
      if (half === undefined) continue
      half.emit(this.writer, QUANTUM_BYTES)
      if (half.sendable) this.round.push(half)
      else half.scheduled = false
    }
    if (turn > 0) this.round = this.round.slice(turn)
  }
}
