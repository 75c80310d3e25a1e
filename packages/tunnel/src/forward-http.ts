import type { IncomingMessage, ServerResponse } from 'node:http'
import { announcedLength, endToEndHeaders } from './hop-headers.ts'
import { linger } from './linger.ts'
import { TunnelError } from './tunnel-error.ts'
import type { Headers, ResponseHandlers, ResponseHead, TunnelErrorCode, TunnelPeer, TunnelStream } from './types.ts'

/**
 * How much of a response is held here for a client that reads more slowly than the other end sends. Node's own bound
 * is a single frame, and a pause for each frame costs more than half of the speed of a download.
 */
const CLIENT_BUFFER_BYTES = 256 * 1024

/** How a forwarded call ended. */
export type ForwardOutcome =
  /** The whole response was passed on. */
  | { kind: 'answered'; status: number }
  /** Nothing was sent to the client: the caller answers it. */
  | { kind: 'failed'; error: Error & { code: TunnelErrorCode } }
  /** The response broke off. The client's connection was cut, so that the client notices that the response is not whole. */
  | { kind: 'broken'; status: number; error: Error & { code: TunnelErrorCode } }
  /** The client went away first; the exchange was cancelled. */
  | { kind: 'client-gone' }
  /** `acceptResponse` returned false. Nothing was sent to the client: the caller answers it. */
  | { kind: 'refused' }

export interface ForwardOptions {
  /** The request target for the other end, query included. */
  path: string
  /** Headers set on the request, lower case; they replace those of the client. */
  headers?: Headers
  /** Request headers that are not passed on, lower case: credentials meant for this server. */
  dropHeaders?: ReadonlySet<string>
  /** The only response headers that are passed on, lower case; default: all. For another end that is not trusted. */
  keepResponseHeaders?: ReadonlySet<string>
  /** Headers set on the response, lower case; they replace those of the other end: a request id, CORS. */
  responseHeaders?: Headers
  /** Gets the head of a response with the headers that are passed on, which it may change. False refuses the response. */
  acceptResponse?: (head: ResponseHead) => boolean
  /** How long the client may wait for the response while no byte of the request arrives; then DEADLINE_EXCEEDED. */
  answerDeadlineMs?: number
  /** Called once, when the call is over. */
  onOutcome: (outcome: ForwardOutcome) => void
}

/** A client's request and its response, as `http.Server` passes them on. */
export interface HttpCall {
  req: IncomingMessage
  res: ServerResponse
}

/**
 * Passes one HTTP call through the tunnel. Both bodies are streamed with backpressure; the call is cancelled if either
 * side leaves. Takes over `req` and `res`, except after the outcomes `failed` and `refused`, when `res` is untouched.
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
  /** The remaining bytes of the response's announced length. */
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
    // The client would take the excess of a body longer than announced for its next response.
    this.left -= chunk.length
    if (this.left < 0) this.breakOff(lengthError())
    // `end` with the last piece costs Node half as much as `write` and then `end`.
    else if (this.left === 0) this.res.end(chunk)
    else if (!this.res.write(chunk) && this.res.writableLength > CLIENT_BUFFER_BYTES) this.pauseUntilDrained()
  }

  onEnd(): void {
    if (this.exact && this.left > 0) {
      this.breakOff(lengthError())
      return
    }
    if (!this.res.writableEnded) this.res.end()
    if (!this.req.complete) linger(this.req, this.req.socket)
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
    // An aborted request closes the response too; `clientClosed` handles that.
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

  /** Ends the call because the other end's response is invalid; nothing of it was sent to the client. */
  private refuse(message: string): void {
    this.stream?.reset('CANCELLED', message)
    this.settle({ kind: 'failed', error: new TunnelError('HANDLER_FAILED', message) })
  }

  private breakOff(error: Error & { code: TunnelErrorCode }): void {
    this.stream?.reset('CANCELLED', error.message)
    this.settle({ kind: 'broken', status: this.status, error })
    this.res.destroy()
  }

  private settle(outcome: ForwardOutcome): void {
    if (this.over) return
    this.over = true
    this.deadline.end()
    this.options.onOutcome(outcome)
  }
}

/** A deadline that runs until it is ended; each `refresh` starts it again. */
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
      // `refresh` of a cleared timer would start it again.
      if (!ended) timer.refresh()
    },
    end() {
      ended = true
      clearTimeout(timer)
    },
  }
}

/** Returns the headers of the other end's response that are passed on. */
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

/** Returns the error as a TunnelError: `peer.request` throws a TypeError for a request that no head can hold. */
export function asTunnelError(error: unknown): Error & { code: TunnelErrorCode } {
  if (error instanceof TunnelError) return error
  return new TunnelError('HANDLER_FAILED', 'the request cannot be passed on', { cause: error })
}
