import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { Link, LinkListeners, LinkMessage } from './types.ts'

/** The link calls `onDrain` when at most this many bytes are left to send. */
const LOW_BUFFER_BYTES = 32 * 1024

/** The longest reason that the WebSocket protocol allows in a close frame. */
const MAX_REASON_BYTES = 123

/** The close code that `ws` reports for a connection that ended without a close frame. */
const ABNORMAL_CLOSE = 1006

/** The close code that this end reports when it closes because a WebSocket rule was broken. */
const WEBSOCKET_VIOLATION = 1002

/** The first byte of a WebSocket frame that is a whole binary message. */
const FINAL_BINARY = 0x82

/** The second byte holds the length up to this; above, it says that two bytes with the length follow. */
const MAX_SHORT_LENGTH = 125
const TWO_BYTE_LENGTH = 126

const MASK_BIT = 0x80
const MASK_BYTES = 4

export interface WebSocketLinkOptions {
  /** The socket below the WebSocket, as the upgrade gave it. */
  socket: Duplex
  /** Whether this end must mask what it sends: the end that dialled must. */
  masked: boolean
}

/** Makes a link over an open WebSocket without compression. It reads nothing before `attach`. */
export function createWebSocketLink(ws: WebSocket, options: WebSocketLinkOptions): Link {
  return new WebSocketLink(ws, options)
}

/**
 * `ws` makes the connection, reads it and closes it. Messages are written directly to the socket, with their headers in
 * the space the slab has before each: all messages of a flush are one piece of memory and leave in one write, where `ws`
 * would make two writes of each and keep a dozen objects. They never mix with a half-written frame of `ws`, because both
 * write whole frames and nothing is fragmented or compressed.
 */
class WebSocketLink implements Link {
  readonly headroomBytes: number
  private readonly ws: WebSocket
  private readonly socket: Duplex
  private readonly masked: boolean
  private listeners: LinkListeners | undefined
  private corked = false
  /** Messages that lie end to end in memory, held back while corked. */
  private run: (LinkMessage & { sent: (() => void)[] }) | undefined
  private violated: string | undefined
  private closeReport: { code: number; reason: string } | undefined

  constructor(ws: WebSocket, options: WebSocketLinkOptions) {
    this.ws = ws
    this.socket = options.socket
    this.masked = options.masked
    this.headroomBytes = 4 + (options.masked ? MASK_BYTES : 0)
    ws.pause()
    // `close` follows every error; until then the error is only remembered.
    ws.on('error', (error) => {
      if ('code' in error && String(error.code).startsWith('WS_ERR_')) this.violated = error.message
    })
    ws.on('close', (code, reason) => this.closed(code, reason.toString()))
  }

  get bufferedBytes(): number {
    return this.socket.writableLength + (this.run === undefined ? 0 : this.run.end - this.run.start)
  }

  attach(listeners: LinkListeners): void {
    this.listeners = listeners
    this.ws.on('message', (data, isBinary) => {
      if (isBinary && Buffer.isBuffer(data)) listeners.onMessage(data)
      else listeners.onMessage(Buffer.alloc(0))
    })
    if (this.closeReport !== undefined) listeners.onClose(this.closeReport.code, this.closeReport.reason)
    else this.ws.resume()
  }

  send(message: LinkMessage, sent: () => void): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    const { slab, end } = message
    const start = this.writeHeader(message)
    if (this.run !== undefined && this.run.slab === slab && this.run.end === start) {
      this.run.end = end
      this.run.sent.push(sent)
      return
    }
    this.writeRun()
    this.run = { slab, start, end, sent: [sent] }
    if (!this.corked) this.writeRun()
  }

  close(code: number, reason: string): void {
    this.writeRun()
    this.ws.close(code, Buffer.from(reason).subarray(0, MAX_REASON_BYTES))
    // Messages that still arrive are read and dropped, so that the other end's close frame is seen.
    this.ws.resume()
  }

  terminate(): void {
    this.ws.terminate()
  }

  pause(): void {
    this.ws.pause()
  }

  resume(): void {
    this.ws.resume()
  }

  cork(): void {
    this.corked = true
  }

  uncork(): void {
    this.corked = false
    this.writeRun()
  }

  /**
   * Writes the header that ends where the message starts, and returns where it begins. The mask is all zeros: masking
   * protects proxies from bytes that a script in a browser chose, and no browser is involved here. A real mask would cost
   * a third of the speed of an upload.
   */
  private writeHeader({ slab, start, end }: LinkMessage): number {
    const length = end - start
    const maskBit = this.masked ? MASK_BIT : 0
    const lengthEnd = this.masked ? start - MASK_BYTES : start
    if (this.masked) slab.writeUInt32BE(0, lengthEnd)
    if (length <= MAX_SHORT_LENGTH) {
      slab[lengthEnd - 1] = maskBit | length
      slab[lengthEnd - 2] = FINAL_BINARY
      return lengthEnd - 2
    }
    slab.writeUInt16BE(length, lengthEnd - 2)
    slab[lengthEnd - 3] = maskBit | TWO_BYTE_LENGTH
    slab[lengthEnd - 4] = FINAL_BINARY
    return lengthEnd - 4
  }

  private writeRun(): void {
    const { run } = this
    if (run === undefined) return
    this.run = undefined
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.socket.write(run.slab.subarray(run.start, run.end), () => {
      for (const sent of run.sent) sent()
      if (this.socket.writableLength <= LOW_BUFFER_BYTES) this.listeners?.onDrain()
    })
  }

  private closed(code: number, reason: string): void {
    const report =
      this.violated !== undefined && code === ABNORMAL_CLOSE
        ? { code: WEBSOCKET_VIOLATION, reason: this.violated }
        : { code, reason }
    this.closeReport = report
    this.listeners?.onClose(report.code, report.reason)
  }
}
