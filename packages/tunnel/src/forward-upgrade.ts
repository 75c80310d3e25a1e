import { type IncomingMessage, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import {
  type AnswerDeadline,
  asTunnelError,
  type ForwardOptions,
  responseHeaders,
  startAnswerDeadline,
} from './forward-http.ts'
import { announcedLength, endToEndHeaders } from './hop-headers.ts'
import { linger } from './linger.ts'
import { TunnelError } from './tunnel-error.ts'
import type { Headers, ResponseHandlers, ResponseHead, TunnelErrorCode, TunnelPeer, TunnelStream } from './types.ts'

/** A client's upgrade request, as `http.Server` passes it on. */
export interface UpgradeCall {
  req: IncomingMessage
  socket: Duplex
  /** The bytes that the client sent directly after its request. */
  head: Buffer
}

const SWITCHING_PROTOCOLS = 101

/**
 * Passes an upgrade request through the tunnel. After a 101 the two raw streams are joined, with backpressure both
 * ways, and each direction ends on its own; any other answer is passed on whole and ends the connection. Takes over
 * the socket, except after the outcomes `failed` and `refused`, when nothing was written to it.
 */
export function forwardUpgrade(peer: TunnelPeer, call: UpgradeCall, options: ForwardOptions): void {
  new ForwardedUpgrade(call, options).start(peer)
}

class ForwardedUpgrade implements ResponseHandlers {
  private readonly call: UpgradeCall
  private readonly socket: Duplex
  private readonly options: ForwardOptions
  private stream: TunnelStream | undefined
  private status = 0
  private left = Number.POSITIVE_INFINITY
  private over = false
  private readonly deadline: AnswerDeadline

  constructor(call: UpgradeCall, options: ForwardOptions) {
    this.deadline = startAnswerDeadline(options.answerDeadlineMs, () => this.tooLate())
    this.call = call
    this.socket = call.socket
    this.options = options
  }

  start(peer: TunnelPeer): void {
    const { req } = this.call
    if (this.socket.destroyed) {
      this.settle({ kind: 'client-gone' })
      return
    }
    const headers = endToEndHeaders(req.headers, this.options.dropHeaders)
    headers['connection'] = 'upgrade'
    headers['upgrade'] = req.headers.upgrade ?? ''
    if (this.options.headers !== undefined) Object.assign(headers, this.options.headers)
    try {
      this.stream = peer.request({ method: req.method ?? 'GET', path: this.options.path, headers }, this)
    } catch (error) {
      this.settle({ kind: 'failed', error: asTunnelError(error) })
      return
    }
    // An error of the client's connection is followed by its `close` event.
    this.socket.on('error', () => {})
    this.socket.on('close', this.onClientClose)
    this.readClient(this.stream)
  }

  onResponse(head: ResponseHead): void {
    this.deadline.end()
    const headers = responseHeaders(head, this.options)
    if (this.options.acceptResponse?.({ status: head.status, headers }) === false) {
      this.stream?.reset('CANCELLED', 'the response is not wanted')
      this.settle({ kind: 'refused' })
      return
    }
    this.status = head.status
    const upgraded = head.status === SWITCHING_PROTOCOLS
    const length = announcedLength(headers)
    if (Number.isNaN(length) || (head.status < 200 && !upgraded)) {
      this.stream?.reset('CANCELLED', 'the response cannot be passed on')
      this.settle({ kind: 'failed', error: new TunnelError('HANDLER_FAILED', 'the response cannot be passed on') })
      return
    }
    if (upgraded) {
      const { upgrade } = head.headers
      headers['connection'] = 'upgrade'
      headers['upgrade'] = upgrade ?? this.call.req.headers.upgrade ?? ''
    } else {
      headers['connection'] = 'close'
      if (length !== undefined) this.left = length
    }
    this.socket.write(responseText(head.status, Object.assign(headers, this.options.responseHeaders)), 'latin1')
  }

  onData(chunk: Buffer): void {
    this.left -= chunk.length
    if (this.left < 0) {
      this.breakOff(new TunnelError('CANCELLED', 'the response has not the length it announced'))
      return
    }
    if (this.socket.write(chunk)) return
    this.stream?.pause()
    this.socket.once('drain', () => this.stream?.resume())
  }

  onEnd(): void {
    const { socket } = this
    if (this.status === SWITCHING_PROTOCOLS) {
      socket.end()
      return
    }
    socket.end(() => linger(socket, socket))
    this.settle({ kind: 'answered', status: this.status })
    socket.resume()
  }

  onDrain(): void {
    this.socket.resume()
  }

  onReset(error: Error & { code: TunnelErrorCode }): void {
    if (this.status === 0) this.settle({ kind: 'failed', error })
    else this.breakOff(error)
  }

  /** Reads from the client at once, because only a read shows that the client has left. */
  private readClient(stream: TunnelStream): void {
    const { socket } = this
    if (this.call.head.length > 0) stream.write(this.call.head)
    socket.on('data', (chunk: Buffer) => {
      if (!stream.write(chunk)) socket.pause()
    })
    socket.on('end', () => stream.end())
  }

  private readonly onClientClose = (): void => {
    if (this.over) return
    // After both halves have ended, a reset does nothing.
    this.stream?.reset('CANCELLED', 'the client went away')
    const upgraded = this.status === SWITCHING_PROTOCOLS
    this.settle(upgraded ? { kind: 'answered', status: this.status } : { kind: 'client-gone' })
  }

  private tooLate(): void {
    this.stream?.reset('CANCELLED', 'no response came in time')
    this.settle({ kind: 'failed', error: new TunnelError('DEADLINE_EXCEEDED', 'no response came in time') })
  }

  private breakOff(error: Error & { code: TunnelErrorCode }): void {
    this.stream?.reset('CANCELLED', error.message)
    this.settle({ kind: 'broken', status: this.status, error })
    this.socket.destroy()
  }

  private settle(outcome: Parameters<ForwardOptions['onOutcome']>[0]): void {
    if (this.over) return
    this.over = true
    this.deadline.end()
    this.socket.off('close', this.onClientClose)
    this.options.onOutcome(outcome)
  }
}

function responseText(status: number, headers: Headers): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`
  for (const name in headers) {
    const value = headers[name]
    for (const item of Array.isArray(value) ? value : [value]) text += `${name}: ${item}\r\n`
  }
  return `${text}\r\n`
}
