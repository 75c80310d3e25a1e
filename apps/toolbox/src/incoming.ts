import { Readable } from 'node:stream'
import type { BodyKind } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'

/** The largest JSON body, in bytes. */
export const MAX_JSON_BODY_BYTES = 4 * 1024 * 1024
/** The time within which a JSON body must be complete. */
const JSON_BODY_DEADLINE_MS = 60_000
/** How long the sender of a streamed body, or the reader of an answer, may be silent. */
const STALL_DEADLINE_MS = 300_000
/** Bytes of a streamed body held before the sender is paused. */
const STREAM_BUFFER_BYTES = 256 * 1024

/** The receiving side of one exchange: its body, its end, and room to send. */
export interface Incoming {
  /** Aborts with the tunnel's error when the caller is gone. */
  readonly signal: AbortSignal
  /** Set for `multipart` and `binary` bodies. */
  readonly stream: Readable | undefined
  /** Resolves with the whole body. Rejects with PAYLOAD_TOO_LARGE, REQUEST_TIMEOUT or when the caller is gone. */
  readonly bytes: Promise<Buffer>
  /** Resolves when the exchange takes more. Rejects when the caller is gone or reads nothing for 5 minutes. */
  drained(): Promise<void>
  /** Ends timers and the stream; call it when the call is over. */
  close(): void
}

interface Sink {
  data(chunk: Buffer): void
  end(): void
  fail(error: Error): void
}

/** Takes over the handlers of an exchange. Call it synchronously from `onRequest`. */
export function receive(exchange: IncomingExchange, kind: BodyKind): Incoming {
  const gone = new AbortController()
  let wake: { resolve: () => void; reject: (error: Error) => void } | undefined
  const body = kind === 'json' ? collect(exchange) : undefined
  const streamed = kind === 'multipart' || kind === 'binary' ? flow(exchange) : undefined
  const sink: Sink | undefined = body?.sink ?? streamed?.sink
  exchange.handlers = {
    onData: (chunk) => sink?.data(chunk),
    onEnd: () => sink?.end(),
    onDrain: () => wake?.resolve(),
    onReset(error) {
      gone.abort(error)
      sink?.fail(error)
      wake?.reject(error)
    },
  }
  return {
    signal: gone.signal,
    stream: streamed?.stream,
    bytes: body?.bytes ?? Promise.resolve(Buffer.alloc(0)),
    drained: () =>
      new Promise((resolve, reject) => {
        if (gone.signal.aborted) return reject(gone.signal.reason)
        const timer = setTimeout(() => settle.reject(stalled()), STALL_DEADLINE_MS)
        const settle = {
          resolve: () => {
            clearTimeout(timer)
            resolve()
          },
          reject: (error: Error) => {
            clearTimeout(timer)
            reject(error)
          },
        }
        wake = settle
      }),
    close() {
      body?.stop()
      streamed?.stop()
    },
  }
}

function collect(exchange: IncomingExchange): { bytes: Promise<Buffer>; sink: Sink; stop: () => void } {
  const chunks: Buffer[] = []
  let length = 0
  let settle: { resolve: (body: Buffer) => void; reject: (error: Error) => void } | undefined
  const bytes = new Promise<Buffer>((resolve, reject) => {
    settle = { resolve, reject }
  })
  // The call may be refused for another reason before its body is awaited.
  bytes.catch(() => {})
  const fail = (error: Error) => {
    clearTimeout(timer)
    chunks.length = 0
    settle?.reject(error)
  }
  const timer = setTimeout(
    () => fail(new AppError('REQUEST_TIMEOUT', 'the body did not arrive in time')),
    JSON_BODY_DEADLINE_MS,
  )
  const tooLarge = () => new AppError('PAYLOAD_TOO_LARGE', `a body must not exceed ${MAX_JSON_BODY_BYTES} bytes`)
  if (Number(exchange.head.headers['content-length']) > MAX_JSON_BODY_BYTES) fail(tooLarge())
  const sink: Sink = {
    data(chunk) {
      length += chunk.length
      if (length > MAX_JSON_BODY_BYTES) return fail(tooLarge())
      chunks.push(Buffer.from(chunk))
    },
    end() {
      clearTimeout(timer)
      settle?.resolve(Buffer.concat(chunks))
    },
    fail,
  }
  return { bytes, sink, stop: () => clearTimeout(timer) }
}

function flow(exchange: IncomingExchange): { stream: Readable; sink: Sink; stop: () => void } {
  let paused = false
  const stream = new Readable({
    highWaterMark: STREAM_BUFFER_BYTES,
    read() {
      if (!paused) return
      paused = false
      timer.refresh()
      exchange.resume()
    },
  })
  // A reader of the stream gets the error itself, but there may be no reader yet.
  stream.on('error', () => {})
  const timer = setInterval(() => {
    if (!paused) stream.destroy(stalled())
  }, STALL_DEADLINE_MS)
  const sink: Sink = {
    data(chunk) {
      if (stream.destroyed) return
      timer.refresh()
      if (stream.push(Buffer.from(chunk))) return
      paused = true
      exchange.pause()
    },
    end() {
      clearInterval(timer)
      stream.push(null)
    },
    fail(error) {
      clearInterval(timer)
      stream.destroy(error)
    },
  }
  return {
    stream,
    sink,
    stop() {
      clearInterval(timer)
      stream.destroy()
    },
  }
}

function stalled(): AppError {
  return new AppError('REQUEST_TIMEOUT', `nothing moved for ${STALL_DEADLINE_MS / 1000} s`)
}
