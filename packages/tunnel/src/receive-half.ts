import { ByteQueue } from './byte-queue.ts'
import { violation } from './tunnel-error.ts'
import type { WindowTuner } from './window-tuner.ts'

/** Credit is returned after this part of a window was read; FIRST_PORTION is for the opening window. */
const PORTION = 1 / 2
const FIRST_PORTION = 1 / 4

/** The callbacks for received data, the end of the half, and credit to return. */
export interface ReceiveListener {
  onData(chunk: Buffer): void
  onEnd(): void
  /** Grants the sender credit for `bytes` more. */
  onCredit(bytes: number): void
}

/** The receiving half of one exchange. While paused it holds at most the bytes that the sender had credit for. */
export class ReceiveHalf {
  /** The sender's end has arrived, though perhaps not been delivered. */
  ended = false
  private readonly listener: ReceiveListener
  private readonly tuner: WindowTuner
  private readonly held = new ByteQueue()
  private remainingCredit: number
  private window: number
  private unreturned = 0
  private grantedAt = Number.NEGATIVE_INFINITY
  private paused = false
  private delivering = false
  private endDelivered = false
  private silenced = false

  constructor(listener: ReceiveListener, tuner: WindowTuner) {
    this.listener = listener
    this.tuner = tuner
    this.window = tuner.openingBytes
    this.remainingCredit = tuner.openingBytes
  }

  /** Takes data; `last` completes the sender's half. Throws a violation if the sender had no credit for it. */
  receive(chunk: Buffer, last: boolean): void {
    this.remainingCredit -= chunk.length
    if (this.remainingCredit < 0) throw violation('an exchange sends more than it has credit for')
    if (last) this.markEnded()
    if (this.silenced) return
    if (chunk.length > 0) this.accept(chunk)
    if (last) this.deliver()
  }

  /** Completes the sender's half without data. */
  finish(): void {
    this.markEnded()
    this.deliver()
  }

  private accept(chunk: Buffer): void {
    if (this.paused || this.delivering || this.held.length > 0) {
      this.held.push(chunk)
      return
    }
    this.delivering = true
    this.listener.onData(chunk)
    this.delivering = false
    this.consumed(chunk.length)
    if (this.held.length > 0) this.deliver()
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.deliver()
  }

  /** Drops the held data; no callback follows. */
  silence(): void {
    if (this.silenced) return
    this.silenced = true
    this.held.clear()
    this.releaseWindow()
  }

  private markEnded(): void {
    this.ended = true
    this.releaseWindow()
  }

  private releaseWindow(): void {
    this.tuner.release(this.window)
    this.window = this.tuner.openingBytes
  }

  private deliver(): void {
    if (this.delivering) return
    this.delivering = true
    while (!this.paused && !this.silenced && this.held.length > 0) {
      const chunk = this.held.shift()
      this.listener.onData(chunk)
      this.consumed(chunk.length)
    }
    this.delivering = false
    if (this.ended && !this.endDelivered && !this.paused && !this.silenced) {
      this.endDelivered = true
      this.listener.onEnd()
    }
  }

  /** Returns credit in portions, so that a short body costs no frame of credit; the first portion comes early. */
  private consumed(bytes: number): void {
    this.unreturned += bytes
    if (this.ended || this.silenced) return
    if (this.unreturned < this.window * (this.grantedAt === Number.NEGATIVE_INFINITY ? FIRST_PORTION : PORTION)) return
    const growth = this.tuner.grow(this.window, this.grantedAt)
    const credit = this.unreturned + growth
    this.window += growth
    this.unreturned = 0
    this.grantedAt = this.tuner.now()
    this.remainingCredit += credit
    this.listener.onCredit(credit)
  }
}
