import type { IncomingMessage, ServerResponse } from 'node:http'
import { announcedLength, endToEndHeaders } from './hop-headers.ts'
import { TunnelError } from './tunnel-error.ts'
import type { Headers, ResponseHandlers, ResponseHead, TunnelErrorCode, TunnelPeer, TunnelStream } from './types.ts'

/** How long a client that was answered early may go on sending what nobody reads, before it is cut off. */
const EARLY_ANSWER_LINGER_MS = 2_000

/**
 * How much of a response waits here for a client that reads slower than it is sent. Node would have it stop at a
 * single frame, and stopping and starting for each costs more than half of a download.
 */
const CLIENT_BUFFER_BYTES = 256 * 1024

/** How a forwarded call ended. */
export type ForwardOutcome =
  /** The response was handed over whole. */
  | { kind: 'answered'; status: number }
  /** Nothing was sent to the client: the caller answers it. */
  | { kind: 'failed'; error: Error & { code: TunnelErrorCode } }
  /** The response broke off; the client's connection was cut, so that it cannot take the part for the whole. */
  | { kind: 'broken'; status: number; error: Error & { code: TunnelErrorCode } }
  /** The client went away first; the exchange was cancelled. */
  | { kind: 'client-gone' }
  /** `acceptResponse` would not have the response. Nothing was sent to the client: the caller answers it. */
  | { kind: 'refused' }

export interface ForwardOptions {
  /** The request target for the other end, query included. */
  path: string
  /** Set on the request over what the client sent, lower case. */
  headers?: Headers
  /** Request headers that do not travel on, lower case: credentials meant for this server. */
  dropHeaders?: ReadonlySet<string>
  /** The only headers of the response that travel on, lower case; without it all do. For other ends not to be trusted. */
  keepResponseHeaders?: ReadonlySet<string>
  /** Set on the response over what the other end sent, lower case: a request id, CORS. */
  responseHeaders?: Headers
  /** Sees the head of a response, with the headers that travel on, which it may change. False refuses the response. */
  acceptResponse?: (head: ResponseHead) => boolean
  /** How long the response may keep the client waiting while nothing of the request moves; else DEADLINE_EXCEEDED. */
  answerDeadlineMs?: number
  /** Called once, when the call is over. */
  onOutcome: (outcome: ForwardOutcome) => void
}

/** A client's request and the response to it, as `http.Server` hands them over. */
export interface HttpCall {
  req: IncomingMessage
  res: ServerResponse
}

/**
 * Passes one HTTP call through the tunnel, both bodies streamed with backpressure, and cancelled if either side
 * leaves. Takes over both `req` and `res`, except after the outcomes `failed` and `refused`, when `res` is untouched.
 */
export function forwardHttp(peer: TunnelPeer, call: HttpCall, options: ForwardOptions): void {
  new ForwardedCall(call, options).start(peer)
}

class ForwardedCall implements ResponseHandlers {
  private readonly req: IncomingMessage
  private readonly res: ServerResponse
  private readonly options: ForwardOptions
  private stream: TunnelStream | undefined
  private status = 0
  /** What is left of the response's announced length. */
  private left = Number.POSITIVE_INFINITY
  private exact = false
  private over = false
  private readonly deadline: AnswerDeadline

  constructor(call: HttpCall, options: ForwardOptions) {
    this.deadline = startAnswerDeadline(options.answerDeadlineMs, () => this.tooLate())
    this.req = call.req
    this.res = call.res
    this.options = options
  }

  start(peer: TunnelPeer): void {
    const { req, res, options } = this
    if (res.destroyed) {
      this.settle({ kind: 'client-gone' })
      return
    }
    const headers = endToEndHeaders(req.headers, options.dropHeaders)
    if (options.headers !== undefined) Object.assign(headers, options.headers)
    try {
      this.stream = peer.request({ method: req.method ?? 'GET', path: options.path, headers }, this)
    } catch (error) {
      this.settle({ kind: 'failed', error: asTunnelError(error) })
      return
    }
    res.on('close', () => this.clientClosed())
    if (hasBody(req)) this.sendBody(this.stream)
    else this.stream.end()
  }

  onResponse(head: ResponseHead): void {
    const { req, res, options } = this
    this.deadline.end()
    this.status = head.status
    const headers = responseHeaders(head, options)
    if (options.acceptResponse?.({ status: head.status, headers }) === false) {
      this.stream?.reset('CANCELLED', 'the response is not wanted')
      this.settle({ kind: 'refused' })
      return
    }
    const length = announcedLength(headers)
    if (Number.isNaN(length) || head.status < 200) {
      this.refuse('the response cannot be passed on')
      return
    }
    if (length !== undefined && !isBodiless(req.method, head.status)) {
      this.left = length
      this.exact = true
    }
    if (options.responseHeaders !== undefined) Object.assign(headers, options.responseHeaders)
    res.writeHead(head.status, headers)
  }

  onData(chunk: Buffer): void {
    // A body longer than announced would reach the client as the beginning of its next response.
    this.left -= chunk.length
    if (this.left < 0) this.breakOff(lengthError())
    // Node sends a last piece that it knows to be the last at half the cost.
    else if (this.left === 0) this.res.end(chunk)
    else if (!this.res.write(chunk) && this.res.writableLength > CLIENT_BUFFER_BYTES) this.pauseUntilDrained()
  }

  onEnd(): void {
    if (this.exact && this.left > 0) {
      this.breakOff(lengthError())
      return
    }
    if (!this.res.writableEnded) this.res.end()
    if (!this.req.complete) this.lingerForClient()
    this.settle({ kind: 'answered', status: this.status })
  }

  onDrain(): void {
    this.req.resume()
  }

  onReset(error: Error & { code: TunnelErrorCode }): void {
    if (this.res.writableEnded) this.settle({ kind: 'answered', status: this.status })
    else if (this.res.headersSent) this.breakOff(error)
    else this.settle({ kind: 'failed', error })
  }

  private sendBody(stream: TunnelStream): void {
    const { req } = this
    req.on('data', (chunk: Buffer) => {
      this.deadline.refresh()
      if (!stream.write(chunk)) req.pause()
    })
    req.on('end', () => stream.end())
    // An aborted request closes the response too, where it is dealt with.
    req.on('error', () => {})
  }

  private pauseUntilDrained(): void {
    this.stream?.pause()
    this.res.once('drain', () => this.stream?.resume())
  }

  private clientClosed(): void {
    if (this.over) return
    this.stream?.reset('CANCELLED', 'the client went away')
    this.settle({ kind: 'client-gone' })
  }

  private tooLate(): void {
    this.stream?.reset('CANCELLED', 'no response came in time')
    this.settle({ kind: 'failed', error: new TunnelError('DEADLINE_EXCEEDED', 'no response came in time') })
  }

  /** The other end's answer makes no sense, and the client has seen nothing of it. */
  private refuse(message: string): void {
    this.stream?.reset('CANCELLED', message)
    this.settle({ kind: 'failed', error: new TunnelError('HANDLER_FAILED', message) })
  }

  private breakOff(error: Error & { code: TunnelErrorCode }): void {
    this.stream?.reset('CANCELLED', error.message)
    this.settle({ kind: 'broken', status: this.status, error })
    this.res.destroy()
  }

  /** Reads the rest of the request for a moment: a connection closed at once could lose the answer on its way. */
  private lingerForClient(): void {
    const { req } = this
    const timer = setTimeout(() => req.socket.destroy(), EARLY_ANSWER_LINGER_MS)
    req.once('close', () => clearTimeout(timer))
    req.resume()
  }

  private settle(outcome: ForwardOutcome): void {
    if (this.over) return
    this.over = true
    this.deadline.end()
    this.options.onOutcome(outcome)
  }
}

/** Runs out unless it is ended; each `refresh` begins it anew. */
export interface AnswerDeadline {
  refresh(): void
  end(): void
}

const noDeadline: AnswerDeadline = { refresh() {}, end() {} }

export function startAnswerDeadline(ms: number | undefined, onOver: () => void): AnswerDeadline {
  if (ms === undefined) return noDeadline
  const timer = setTimeout(onOver, ms)
  let ended = false
  return {
    refresh() {
      // To refresh a timer that was cleared would set it again.
      if (!ended) timer.refresh()
    },
    end() {
      ended = true
      clearTimeout(timer)
    },
  }
}

/** What of the other end's response headers travels on. */
export function responseHeaders(head: ResponseHead, { keepResponseHeaders: kept }: ForwardOptions): Headers {
  const headers = endToEndHeaders(head.headers)
  if (kept !== undefined) for (const name in headers) if (!kept.has(name)) delete headers[name]
  return headers
}

function hasBody(req: IncomingMessage): boolean {
  return req.headers['transfer-encoding'] !== undefined || (announcedLength(req.headers) ?? 0) > 0
}

function isBodiless(method: string | undefined, status: number): boolean {
  return method === 'HEAD' || status === 204 || status === 304
}

function lengthError(): TunnelError {
  return new TunnelError('CANCELLED', 'the response has not the length it announced')
}

/** What `peer.request` throws for a request that no head can hold is a failure of the call like any other. */
export function asTunnelError(error: unknown): Error & { code: TunnelErrorCode } {
  if (error instanceof TunnelError) return error
  return new TunnelError('HANDLER_FAILED', 'the request cannot be passed on', { cause: error })
}
