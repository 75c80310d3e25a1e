import { frameTypes } from './frame.ts'
import { checkHeadSize, encodeResponseHead } from './head-codec.ts'
import type { MessageWriter } from './message-writer.ts'
import { ReceiveHalf, type ReceiveListener } from './receive-half.ts'
import { SendHalf, type SendListener } from './send-half.ts'
import type { ControlSource, SendScheduler } from './send-scheduler.ts'
import { resetCodeNumber, TunnelError, violation } from './tunnel-error.ts'
import type {
  IncomingExchange,
  RequestHead,
  ResponseHandlers,
  ResponseHead,
  StreamHandlers,
  TunnelErrorCode,
} from './types.ts'
import type { WindowTuner } from './window-tuner.ts'

/** Status 101 makes an exchange a raw two-way stream, whose halves end independently. */
const SWITCHING_PROTOCOLS = 101

const MAX_RESET_MESSAGE_BYTES = 200

/** The parts of a link that an exchange uses. */
export interface ExchangeContext {
  readonly scheduler: SendScheduler
  readonly tuner: WindowTuner
  readonly maxHeadBytes: number
  /** The bytes that this end may send before the other end grants more. */
  readonly sendWindowBytes: number
  /** Frees the exchange's slot. */
  release(exchange: Exchange): void
}

interface ExchangeSetup {
  id: number
  context: ExchangeContext
  head: RequestHead
  handlers: StreamHandlers
  /** Given by the end that opened the exchange. */
  responseHandlers?: ResponseHandlers
}

/** One end of an exchange, asking or answering. */
export class Exchange implements IncomingExchange, SendListener, ReceiveListener, ControlSource {
  readonly id: number
  readonly head: RequestHead
  handlers: StreamHandlers
  answeredEarly = false
  private readonly context: ExchangeContext
  private readonly responseHandlers: ResponseHandlers | undefined
  private readonly outgoing: SendHalf
  private readonly incoming: ReceiveHalf
  private responded = false
  private upgraded = false
  /** The exchange is over at this end: no handler is called, and no data is taken. */
  private over = false
  private creditToGrant = 0
  private stopWanted = false
  private resetWanted: { code: TunnelErrorCode; message: string } | undefined

  constructor(setup: ExchangeSetup) {
    this.id = setup.id
    this.context = setup.context
    this.head = setup.head
    this.handlers = setup.handlers
    this.responseHandlers = setup.responseHandlers
    const { scheduler, sendWindowBytes, tuner } = setup.context
    this.outgoing = new SendHalf({ id: setup.id, scheduler, credit: sendWindowBytes, listener: this })
    this.incoming = new ReceiveHalf(this, tuner)
  }

  /** Whether a response head was sent or received. */
  get answered(): boolean {
    return this.responded
  }

  sendRequest(text: string): void {
    this.outgoing.sendHead({ type: frameTypes.request, text })
  }

  respond(head: ResponseHead): void {
    if (this.over) return
    if (this.responseHandlers !== undefined || this.responded) throw new TypeError('an exchange is answered once')
    const text = encodeResponseHead(head)
    checkHeadSize(text, this.context.maxHeadBytes)
    this.responded = true
    this.upgraded = head.status === SWITCHING_PROTOCOLS
    this.outgoing.sendHead({ type: frameTypes.response, text })
  }

  write(chunk: Uint8Array): boolean {
    if (this.over) return true
    this.requireHead()
    return this.outgoing.write(chunk)
  }

  end(chunk?: Uint8Array): void {
    if (this.over) return
    this.requireHead()
    if (chunk !== undefined && chunk.length > 0) this.outgoing.write(chunk)
    this.outgoing.end()
    if (this.responseHandlers === undefined && !this.upgraded && !this.incoming.ended) this.stopIncoming()
  }

  reset(code: TunnelErrorCode = 'CANCELLED', message = 'the exchange was cancelled'): void {
    if (this.over) return
    this.settle()
    if (!this.outgoing.started && this.responseHandlers !== undefined) {
      // The request has not left yet, so the other end needs no reset.
      this.outgoing.abandon()
      this.context.release(this)
      return
    }
    this.outgoing.abandon()
    this.resetWanted = { code, message }
    this.context.scheduler.scheduleControl(this)
  }

  pause(): void {
    this.incoming.pause()
  }

  resume(): void {
    this.incoming.resume()
  }

  // Frames of the other end.

  takeResponse(head: ResponseHead): void {
    if (this.responseHandlers === undefined || this.responded) throw violation('a response nobody waits for')
    this.responded = true
    this.upgraded = head.status === SWITCHING_PROTOCOLS
    const { responseHandlers } = this
    if (!this.over) this.guard(() => responseHandlers.onResponse(head))
  }

  takeData(chunk: Buffer, last: boolean): void {
    if (this.incoming.ended) throw violation('data after the end of its half')
    if (this.responseHandlers !== undefined && !this.responded) throw violation('data before the response')
    if (chunk.length === 0 && !last) throw violation('an empty data frame')
    this.incoming.receive(chunk, last)
    if (last) this.releaseWhenEnded()
  }

  takeEnd(): void {
    this.incoming.finish()
    this.releaseWhenEnded()
  }

  takeCredit(bytes: number): void {
    if (!this.over) this.outgoing.addCredit(bytes)
  }

  takeStop(): void {
    if (!this.over) this.outgoing.stop()
  }

  /** Ends the exchange at this end and sends nothing: the other end has reset it, or the link is gone. */
  fail(error: TunnelError): void {
    this.context.release(this)
    this.outgoing.abandon()
    this.resetWanted = undefined
    if (this.over || this.answeredEarly) return
    this.settle()
    this.tellReset(error)
  }

  // Callbacks of the two halves.

  onData(chunk: Buffer): void {
    this.guard(() => this.handlers.onData(chunk))
  }

  onEnd(): void {
    this.guard(() => this.handlers.onEnd())
  }

  onCredit(bytes: number): void {
    this.creditToGrant += bytes
    this.context.scheduler.scheduleControl(this)
  }

  onDrain(): void {
    this.guard(() => this.handlers.onDrain?.())
  }

  onEnded(): void {
    this.releaseWhenEnded()
  }

  emitControl(writer: MessageWriter): void {
    if (this.resetWanted !== undefined) {
      writer.writeBytes({ type: frameTypes.reset, exchangeId: this.id }, encodeReset(this.resetWanted))
      this.resetWanted = undefined
      this.context.release(this)
      return
    }
    if (this.over || this.incoming.ended) return
    if (this.stopWanted) writer.writeBytes({ type: frameTypes.stop, exchangeId: this.id }, Buffer.alloc(0))
    else if (this.creditToGrant > 0) {
      const payload = Buffer.allocUnsafe(4)
      payload.writeUInt32BE(this.creditToGrant)
      writer.writeBytes({ type: frameTypes.window, exchangeId: this.id }, payload)
    }
    this.stopWanted = false
    this.creditToGrant = 0
  }

  private requireHead(): void {
    if (this.responseHandlers === undefined && !this.responded) throw new TypeError('an answer begins with respond')
  }

  /** Marks an early answer and tells the other end to stop: the rest of the request is not needed. */
  private stopIncoming(): void {
    this.answeredEarly = true
    this.incoming.silence()
    this.stopWanted = true
    this.context.scheduler.scheduleControl(this)
  }

  private releaseWhenEnded(): void {
    // A reset that waits to be sent keeps the slot, so that it never reaches the slot's next exchange.
    if (this.outgoing.ended && this.incoming.ended && this.resetWanted === undefined) this.context.release(this)
  }

  private settle(): void {
    this.over = true
    this.incoming.silence()
  }

  private guard(call: () => void): void {
    try {
      call()
    } catch (error) {
      if (this.over) return
      this.reset('HANDLER_FAILED', 'a handler of the exchange failed')
      this.tellReset(new TunnelError('HANDLER_FAILED', 'a handler of the exchange failed', { cause: error }))
    }
  }

  private tellReset(error: TunnelError): void {
    try {
      this.handlers.onReset(error)
    } catch (failure) {
      // `onReset` is the last callback: its failure can only be reported as a warning of the process.
      process.emitWarning(failure instanceof Error ? failure : String(failure))
    }
  }
}

function encodeReset(reset: { code: TunnelErrorCode; message: string }): Buffer {
  const message = Buffer.from(reset.message).subarray(0, MAX_RESET_MESSAGE_BYTES)
  return Buffer.concat([Buffer.of(resetCodeNumber(reset.code)), message])
}
