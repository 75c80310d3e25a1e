import { systemClock } from './clock.ts'
import { Exchange, type ExchangeContext } from './exchange.ts'
import { createFrameView, FLAG_END, type FrameView, frameTypes, readFrame } from './frame.ts'
import { decodeHello, encodeHello, type Hello, helloFor } from './handshake.ts'
import { checkHeadSize, decodeRequestHead, decodeResponseHead, encodeRequestHead } from './head-codec.ts'
import { resolveLimits } from './limits.ts'
import { closeCodes, closeError } from './link-close.ts'
import { LinkWatch } from './link-watch.ts'
import type { MessageWriter } from './message-writer.ts'
import { type PeerEvent, type PeerState, peerTransitions } from './peer-states.ts'
import { type ControlSource, SendScheduler } from './send-scheduler.ts'
import { openerBit, StreamSlots } from './stream-slots.ts'
import { resetCodeFromNumber, TunnelError, violation } from './tunnel-error.ts'
import type {
  Link,
  LinkListeners,
  PeerOptions,
  RequestHead,
  ResponseHandlers,
  StreamHandlers,
  TunnelClock,
  TunnelLimits,
  TunnelPeer,
  TunnelStream,
} from './types.ts'
import { WindowTuner } from './window-tuner.ts'

/** Makes one end of a tunnel over `link`, which the peer then owns. It takes and opens no exchange before the handshake. */
export function createPeer(link: Link, options: PeerOptions): TunnelPeer {
  return new Peer(link, options)
}

/** The handlers of an incoming exchange until `onRequest` sets its own. */
const noHandlers: StreamHandlers = { onData() {}, onEnd() {}, onReset() {} }

class Peer implements TunnelPeer, LinkListeners, ControlSource {
  readonly ready: Promise<void>
  readonly whenClosed: Promise<TunnelError>
  private readonly link: Link
  private readonly options: PeerOptions
  private readonly limits: TunnelLimits
  private readonly clock: TunnelClock
  private readonly scheduler: SendScheduler
  private readonly watch: LinkWatch
  private readonly context: ExchangeContext & { sendWindowBytes: number }
  private readonly frame: FrameView = createFrameView()
  private readonly ownBit: number
  private readonly theirs: StreamSlots<Exchange>
  private own: StreamSlots<Exchange>
  private maxSendHeadBytes = 0
  private state: PeerState = 'greeting'
  private goawayWanted = false
  private readonly idleWaiters = new Set<() => void>()
  private settleReady: { resolve: () => void; reject: (error: Error) => void }
  private settleClosed: (error: TunnelError) => void

  constructor(link: Link, options: PeerOptions) {
    this.link = link
    this.options = options
    this.limits = resolveLimits(options.limits)
    this.clock = options.clock ?? systemClock
    this.ownBit = options.role === 'listener' ? 1 : 0
    this.own = new StreamSlots({ openerBit: this.ownBit, maxSlots: this.limits.maxStreams, idsFrom: 'here' })
    this.theirs = new StreamSlots({ openerBit: 1 - this.ownBit, maxSlots: this.limits.maxStreams, idsFrom: 'there' })
    this.settleReady = { resolve: () => {}, reject: () => {} }
    this.ready = new Promise((resolve, reject) => {
      this.settleReady = { resolve, reject }
    })
    // A caller that does not await `ready` gets the failure through `onClose`.
    this.ready.catch(() => {})
    this.settleClosed = () => {}
    this.whenClosed = new Promise((resolve) => {
      this.settleClosed = resolve
    })
    this.scheduler = new SendScheduler({
      link,
      maxFrameBytes: this.limits.maxFrameBytes,
      maxLinkBufferBytes: this.limits.maxLinkBufferBytes,
      openExchanges: () => this.openStreams,
    })
    this.watch = new LinkWatch({
      limits: this.limits,
      clock: this.clock,
      scheduler: this.scheduler,
      onSilent: (error) => this.finish(error, 'terminate'),
    })
    this.context = this.createContext()
    link.attach(this)
    this.watch.start()
    this.scheduler.writer.writeBytes({ type: frameTypes.hello, exchangeId: 0 }, encodeHello(helloFor(this.limits)))
    this.scheduler.planFlush()
  }

  get closed(): boolean {
    return this.state === 'closed'
  }

  get openStreams(): number {
    return this.own.count + this.theirs.count
  }

  get queuedBytes(): number {
    return this.scheduler.queuedBytes
  }

  get roundTripMs(): number | undefined {
    return this.watch.roundTripMs
  }

  request(head: RequestHead, handlers: ResponseHandlers): TunnelStream {
    if (this.state !== 'open') throw new TunnelError('LINK_CLOSED', `the tunnel is ${this.state}`)
    const text = encodeRequestHead(head)
    checkHeadSize(text, this.maxSendHeadBytes)
    const id = this.own.nextId()
    if (id === undefined) throw new TunnelError('TOO_MANY_STREAMS', `${this.own.count} exchanges are open already`)
    const exchange = new Exchange({ id, context: this.context, head, handlers, responseHandlers: handlers })
    this.own.put(exchange)
    exchange.sendRequest(text)
    return exchange
  }

  async drain(deadlineMs: number): Promise<void> {
    if (this.closed) return
    this.move('drain')
    this.goawayWanted = true
    this.scheduler.scheduleControl(this)
    if (this.openStreams > 0) await this.idle(deadlineMs)
    this.finish(new TunnelError('LINK_CLOSED', 'the tunnel was drained'), 'close')
  }

  close(reason = 'the tunnel was closed'): void {
    this.finish(new TunnelError('LINK_CLOSED', reason), 'close')
  }

  // Callbacks of the link.

  onMessage(message: Buffer): void {
    if (this.state === 'closed') return
    this.watch.heard()
    try {
      this.readMessage(message)
    } catch (error) {
      const known = error instanceof TunnelError
      this.finish(known ? error : new TunnelError('PROTOCOL_ERROR', 'a frame was misread', { cause: error }), 'close')
    }
  }

  onDrain(): void {
    this.scheduler.linkDrained()
  }

  onClose(code: number, reason: string): void {
    this.finish(closeError(code, reason), 'none')
  }

  emitControl(writer: MessageWriter): void {
    if (this.goawayWanted) writer.writeBytes({ type: frameTypes.goaway, exchangeId: 0 }, Buffer.alloc(0))
    this.goawayWanted = false
  }

  /** Resolves when no exchange is open, or at the deadline. */
  private idle(deadlineMs: number): Promise<void> {
    return new Promise<void>((resolve) => {
      const done = () => {
        cancel()
        this.idleWaiters.delete(done)
        resolve()
      }
      const cancel = this.clock.after(deadlineMs, done)
      this.idleWaiters.add(done)
    })
  }

  private createContext(): ExchangeContext & { sendWindowBytes: number } {
    return {
      scheduler: this.scheduler,
      tuner: new WindowTuner({
        limits: this.limits,
        clock: this.clock,
        leastRoundTripMs: () => this.watch.leastRoundTripMs(),
      }),
      maxHeadBytes: this.limits.maxHeadBytes,
      sendWindowBytes: 0,
      release: (exchange) => {
        const slots = openerBit(exchange.id) === this.ownBit ? this.own : this.theirs
        if (slots.remove(exchange) && this.openStreams === 0) for (const done of this.idleWaiters) done()
      },
    }
  }

  private readMessage(message: Buffer): void {
    // A link delivers an empty message in place of one that is not binary.
    if (message.length === 0) throw violation('an empty or textual message')
    const { frame } = this
    frame.message = message
    for (let offset = 0; offset < message.length && !this.closed; offset = frame.end) {
      readFrame(frame, offset)
      if (frame.exchangeId === 0) this.takeLinkFrame(frame)
      else this.takeExchangeFrame(frame)
    }
  }

  private takeLinkFrame(frame: FrameView): void {
    const payload = frame.message.subarray(frame.start, frame.end)
    if (frame.type === frameTypes.hello) this.takeHello(payload)
    else if (frame.type === frameTypes.goaway) this.move('goaway')
    else {
      this.move('traffic')
      if (frame.type === frameTypes.ping) this.watch.takePing(payload)
      else if (frame.type === frameTypes.pong) this.watch.takePong(payload)
      else throw violation(`a link has no frames of type ${frame.type}`)
    }
  }

  private takeHello(payload: Buffer): void {
    const hello = decodeHello(payload)
    this.move('hello')
    this.adopt(hello)
    this.watch.stop()
    this.watch.opened()
    this.settleReady.resolve()
  }

  private adopt(hello: Hello): void {
    this.maxSendHeadBytes = Math.min(hello.maxHeadBytes, this.limits.maxHeadBytes)
    this.context.sendWindowBytes = hello.openingWindowBytes
    const maxSlots = Math.min(hello.maxStreams, this.limits.maxStreams)
    this.own = new StreamSlots({ openerBit: this.ownBit, maxSlots, idsFrom: 'here' })
  }

  private takeExchangeFrame(frame: FrameView): void {
    this.move('traffic')
    if (frame.type === frameTypes.request) {
      this.takeRequest(frame)
      return
    }
    const slots = openerBit(frame.exchangeId) === this.ownBit ? this.own : this.theirs
    const exchange = slots.get(frame.exchangeId)
    // A frame that was under way when its exchange was cancelled is dropped.
    if (exchange !== undefined) this.takeFrameFor(exchange, frame)
  }

  private takeFrameFor(exchange: Exchange, frame: FrameView): void {
    const { message, start, end } = frame
    const last = (frame.flags & FLAG_END) !== 0
    switch (frame.type) {
      case frameTypes.data:
        exchange.takeData(message.subarray(start, end), last)
        return
      case frameTypes.response:
        exchange.takeResponse(decodeResponseHead(this.readHead(frame)))
        if (last) exchange.takeEnd()
        return
      case frameTypes.window:
        if (end - start !== 4) throw violation('a credit of the wrong size')
        exchange.takeCredit(message.readUInt32BE(start))
        return
      case frameTypes.stop:
        exchange.takeStop()
        return
      case frameTypes.reset:
        exchange.fail(readReset(message.subarray(start, end)))
        return
      default:
        throw violation(`an exchange has no frames of type ${frame.type}`)
    }
  }

  private takeRequest(frame: FrameView): void {
    if (openerBit(frame.exchangeId) === this.ownBit) throw violation('a request with an id of this end')
    const head = decodeRequestHead(this.readHead(frame))
    const exchange = new Exchange({ id: frame.exchangeId, context: this.context, head, handlers: noHandlers })
    this.theirs.put(exchange)
    this.startAnswer(exchange)
    if ((frame.flags & FLAG_END) !== 0) exchange.takeEnd()
  }

  private startAnswer(exchange: Exchange): void {
    const { onRequest } = this.options
    if (this.state === 'draining') {
      exchange.reset('LINK_CLOSED', 'the other end is draining')
      return
    }
    if (onRequest === undefined) {
      exchange.reset('HANDLER_FAILED', 'the other end answers no requests')
      return
    }
    try {
      onRequest(exchange)
    } catch (error) {
      exchange.reset('HANDLER_FAILED', 'the handler of the request failed')
      process.emitWarning(error instanceof Error ? error : String(error))
    }
    if (exchange.handlers === noHandlers && !exchange.answered)
      exchange.reset('HANDLER_FAILED', 'nothing handles the request')
  }

  private readHead(frame: FrameView): string {
    if (frame.end - frame.start > this.limits.maxHeadBytes) throw violation('a head is over its bound')
    return frame.message.toString('latin1', frame.start, frame.end)
  }

  private move(event: PeerEvent): void {
    const next = peerTransitions[this.state][event]
    if (next === 'violation') throw violation(`${event} while ${this.state}`)
    this.state = next
  }

  /** Ends this end of the tunnel: fails all open exchanges, stops the timers, and closes or drops the link. */
  private finish(error: TunnelError, link: 'close' | 'terminate' | 'none'): void {
    if (this.closed) return
    this.move('end')
    this.watch.stop()
    if (link === 'close') this.scheduler.writer.flush()
    this.scheduler.close()
    if (link === 'close') this.link.close(closeCodes[error.code] ?? closeCodes.LINK_CLOSED, error.message)
    else if (link === 'terminate') this.link.terminate()
    for (const exchange of [...this.own.list(), ...this.theirs.list()]) exchange.fail(error)
    for (const done of this.idleWaiters) done()
    this.settleReady.reject(error)
    this.settleClosed(error)
    this.options.onClose?.(error)
  }
}

function readReset(payload: Buffer): TunnelError {
  if (payload.length === 0) throw violation('a reset without a code')
  return new TunnelError(resetCodeFromNumber(payload[0] ?? 0), payload.toString('utf8', 1))
}
