import { Duplex } from 'node:stream'
import { TunnelError } from './tunnel-error.ts'
import type {
  IncomingExchange,
  RequestHead,
  ResponseHandlers,
  ResponseHead,
  StreamHandlers,
  TunnelPeer,
  TunnelStream,
} from './types.ts'

/** The bytes a Duplex holds in each direction before it asks its source to stop. */
const HIGH_WATER_BYTES = 64 * 1024

/**
 * Returns the bodies of request and answer of an incoming exchange as a Node stream with backpressure both ways. Sets
 * the exchange's `handlers`; `respond` must come before the first write. Destroying the stream resets the exchange. If
 * the answer ends before the request was read, the stream closes without an error and the answer is still sent.
 */
export function toDuplex(exchange: IncomingExchange): Duplex {
  const duplex = new ExchangeDuplex(exchange)
  exchange.handlers = duplex.handlers
  return duplex
}

/** An exchange opened as a Node stream: written bytes are the request's body, read bytes the response's. */
export interface OpenedDuplex {
  readonly duplex: Duplex
  /** The response's head; rejects if the exchange ends without one. */
  readonly response: Promise<ResponseHead>
}

/** Opens an exchange as a Node stream with backpressure both ways. Throws what `peer.request` throws. */
export function openDuplex(peer: TunnelPeer, head: RequestHead): OpenedDuplex {
  const duplex = new ExchangeDuplex()
  let onResponse: ResponseHandlers['onResponse'] = () => {}
  const response = new Promise<ResponseHead>((resolve, reject) => {
    onResponse = resolve
    duplex.once('close', () => reject(duplex.errored ?? new TunnelError('CANCELLED', 'the exchange was cancelled')))
  })
  duplex.stream = peer.request(head, { ...duplex.handlers, onResponse })
  // A caller that only reads the stream gets a failure there.
  response.catch(() => {})
  return { duplex, response }
}

class ExchangeDuplex extends Duplex {
  readonly handlers: StreamHandlers
  stream: TunnelStream | undefined
  private readonly exchange: IncomingExchange | undefined
  private exchangeOver = false
  private writeDone: (() => void) | undefined

  constructor(exchange?: IncomingExchange) {
    super({ highWaterMark: HIGH_WATER_BYTES, allowHalfOpen: true, emitClose: true })
    this.exchange = exchange
    this.stream = exchange
    this.handlers = {
      onData: (chunk) => {
        if (!this.push(chunk)) this.stream?.pause()
      },
      onEnd: () => this.push(null),
      onDrain: () => this.releaseWrite(),
      onReset: (error) => {
        this.exchangeOver = true
        this.destroy(error)
      },
    }
  }

  override _read(): void {
    this.stream?.resume()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.stream?.write(chunk) === false) this.writeDone = done
    else done()
  }

  override _final(done: () => void): void {
    this.stream?.end()
    done()
    if (this.exchange?.answeredEarly !== true) return
    // The exchange goes on to send its answer; the stream is destroyed so that a reader of the request stops waiting.
    this.exchangeOver = true
    process.nextTick(() => this.destroy())
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    const complete = this.readableEnded && this.writableFinished
    if (!complete && !this.exchangeOver) this.stream?.reset('CANCELLED', error?.message ?? 'the stream was destroyed')
    this.releaseWrite()
    done(error)
  }

  private releaseWrite(): void {
    const done = this.writeDone
    this.writeDone = undefined
    done?.()
  }
}
