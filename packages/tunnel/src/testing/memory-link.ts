import type { Link, LinkListeners, LinkMessage } from '../types.ts'

/** Runs a step of a memory link later: in order, and never before it returns. */
export type MemorySchedule = (step: () => void) => void

export interface MemoryLinkOptions {
  /** Decides when a sent message arrives. Default: in the next turn of the event loop. */
  schedule?: MemorySchedule
  /** The number of bytes that may be under way to a reader; more wait in the sender's `bufferedBytes`. Default: no bound. */
  pipeBytes?: number
  /** Gets each message before it arrives; returns it, another one instead, or undefined to drop it. */
  tamper?: (message: Buffer) => Buffer | undefined
}

/** One end of a link in memory, with readings for tests. */
export interface MemoryLink extends Link {
  /** The bytes of messages that have arrived at this end and wait because it is paused. */
  readonly waitingBytes: number
  readonly isClosed: boolean
}

/** Makes the two ends of a connection in memory, for tests. */
export function createMemoryLinkPair(options: MemoryLinkOptions = {}): [MemoryLink, MemoryLink] {
  const schedule: MemorySchedule = options.schedule ?? ((step) => setImmediate(step))
  const resolved = { schedule, pipeBytes: options.pipeBytes ?? Number.POSITIVE_INFINITY, tamper: options.tamper }
  const first = new MemoryEnd(resolved)
  const second = new MemoryEnd(resolved)
  first.connect(second)
  second.connect(first)
  return [first, second]
}

interface Setup {
  schedule: MemorySchedule
  pipeBytes: number
  tamper: MemoryLinkOptions['tamper']
}

class MemoryEnd implements MemoryLink {
  readonly headroomBytes = 0
  isClosed = false
  bufferedBytes = 0
  waitingBytes = 0
  private readonly setup: Setup
  private other: MemoryEnd | undefined
  private listeners: LinkListeners | undefined
  private unsent: Buffer[] = []
  private arrived: Buffer[] = []
  private underWayBytes = 0
  private paused = false

  constructor(setup: Setup) {
    this.setup = setup
  }

  connect(other: MemoryEnd): void {
    this.other = other
  }

  attach(listeners: LinkListeners): void {
    this.listeners = listeners
    this.deliver()
  }

  send(message: LinkMessage, sent: () => void): void {
    if (this.isClosed) return
    const bytes = Buffer.from(message.slab.subarray(message.start, message.end))
    this.unsent.push(bytes)
    sent()
    this.bufferedBytes += bytes.length
    this.pump()
  }

  close(code: number, reason: string): void {
    if (this.isClosed) return
    this.isClosed = true
    // The messages queued before the close are sent first.
    for (const message of this.unsent.splice(0)) this.transmit(message)
    this.setup.schedule(() => {
      this.other?.ended(code, reason)
      this.listeners?.onClose(code, reason)
    })
  }

  terminate(): void {
    if (this.isClosed) return
    this.isClosed = true
    this.unsent = []
    this.setup.schedule(() => {
      this.other?.ended(1006, '')
      this.listeners?.onClose(1006, '')
    })
  }

  pause(): void {
    this.paused = true
  }

  resume(): void {
    this.paused = false
    this.deliver()
  }

  cork(): void {}

  uncork(): void {}

  private pump(): void {
    let sent = false
    while (this.unsent.length > 0 && this.underWayBytes < this.setup.pipeBytes) {
      const message = this.unsent.shift()
      if (message === undefined) break
      this.bufferedBytes -= message.length
      this.transmit(message)
      sent = true
    }
    if (sent && this.unsent.length === 0) this.setup.schedule(() => this.listeners?.onDrain())
  }

  private transmit(message: Buffer): void {
    this.underWayBytes += message.length
    this.setup.schedule(() => this.other?.arrive(message))
  }

  private arrive(message: Buffer): void {
    this.arrived.push(message)
    this.waitingBytes += message.length
    this.deliver()
  }

  private deliver(): void {
    while (!this.paused && this.listeners !== undefined && this.arrived.length > 0) {
      const message = this.arrived.shift()
      if (message === undefined) return
      this.waitingBytes -= message.length
      this.other?.received(message.length)
      if (this.isClosed) continue
      const seen = this.setup.tamper === undefined ? message : this.setup.tamper(message)
      if (seen !== undefined) this.listeners.onMessage(seen)
    }
  }

  private received(bytes: number): void {
    this.underWayBytes -= bytes
    if (!this.isClosed) this.pump()
  }

  private ended(code: number, reason: string): void {
    if (this.isClosed) return
    this.isClosed = true
    this.listeners?.onClose(code, reason)
  }
}
