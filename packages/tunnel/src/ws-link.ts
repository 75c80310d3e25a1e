import type { Duplex } from 'node:stream'
import { WebSocket } from 'ws'
import type { Link, LinkListeners } from './types.ts'

/** The link asks for more when at most this much is left to send. */
const LOW_BUFFER_BYTES = 32 * 1024

/** Reasons of a close frame are bounded by the WebSocket protocol. */
const MAX_REASON_BYTES = 123

/** What `ws` reports for a connection that ended without a close frame. */
const ABNORMAL_CLOSE = 1006

/** What this end reports when it closes because a WebSocket rule was broken. */
const WEBSOCKET_VIOLATION = 1002

/**
 * A link over an open WebSocket. With the socket below it, messages sent together leave in one system call.
 * Reading waits for `attach`.
 */
export function createWebSocketLink(ws: WebSocket, socket?: Duplex): Link {
  return new WebSocketLink(ws, socket)
}

class WebSocketLink implements Link {
  private readonly ws: WebSocket
  private readonly socket: Duplex | undefined
  private listeners: LinkListeners | undefined
  private corked = false
  private violated: string | undefined
  private closeReport: { code: number; reason: string } | undefined

  constructor(ws: WebSocket, socket: Duplex | undefined) {
    this.ws = ws
    this.socket = socket
    ws.pause()
    // Closing follows every error; until then it is only remembered.
    ws.on('error', (error) => {
      if ('code' in error && String(error.code).startsWith('WS_ERR_')) this.violated = error.message
    })
    ws.on('close', (code, reason) => this.closed(code, reason.toString()))
  }

  get bufferedBytes(): number {
    return this.ws.bufferedAmount
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

  send(message: Uint8Array, sent: () => void): void {
    if (this.ws.readyState !== WebSocket.OPEN) return
    this.ws.send(message, sendOptions, () => {
      sent()
      if (this.ws.bufferedAmount <= LOW_BUFFER_BYTES) this.listeners?.onDrain()
    })
  }

  close(code: number, reason: string): void {
    this.ws.close(code, Buffer.from(reason).subarray(0, MAX_REASON_BYTES))
    // What still arrives is read and dropped, so that the other end's close frame is seen.
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
    this.socket?.cork()
  }

  uncork(): void {
    if (this.corked) this.socket?.uncork()
    this.corked = false
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

const sendOptions = { binary: true, compress: false }
