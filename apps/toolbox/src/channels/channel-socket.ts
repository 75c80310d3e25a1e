import type { WebSocket } from 'ws'

/** With more bytes than this under way, `send` asks its caller to wait; below LOW_WATER_BYTES the caller may go on. */
export const HIGH_WATER_BYTES = 256 * 1024
const LOW_WATER_BYTES = 64 * 1024
/** A client with this many unread bytes, from a caller that does not wait, is closed with 1008. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024
const PING_INTERVAL_MS = 30_000
/** The longest reason of a close frame, in bytes of UTF-8. */
const MAX_REASON_BYTES = 123

export const CLOSE_NORMAL = 1000
export const CLOSE_POLICY = 1008
export const CLOSE_ERROR = 1011

export interface ChannelListeners {
  /** `text` tells whether the message came as a text frame. The receiver may keep the bytes. */
  onMessage?(message: Buffer, text: boolean): void
  /** Called after `send` returned false, when the client has read enough to get more. */
  onDrain?(): void
  /** Called once, whichever side closed. */
  onClose?(code: number): void
}

/** An open WebSocket to a client, with bounded buffers and a heartbeat. */
export interface ChannelSocket {
  /** Sets the listeners; call it in `attach`, synchronously. */
  listen(listeners: ChannelListeners): void
  /**
   * Sends a text frame for a string, a binary one for bytes, which must not be changed afterwards. Returns false when
   * the caller should wait for `onDrain`. After the close it does nothing and returns true.
   */
  send(message: string | Uint8Array): boolean
  /** Stops and continues reading from the client. */
  pause(): void
  resume(): void
  /** Sends all queued messages, then the close frame; `reason` is cut to the length that a close frame holds. */
  close(code: number, reason?: string): void
  readonly open: boolean
}

export function createChannelSocket(socket: WebSocket): ChannelSocket {
  let listeners: ChannelListeners = {}
  let waiting = false
  let answered = true
  const heartbeat = setInterval(() => {
    // While the client is not read from, its answer cannot arrive.
    if (!answered && !socket.isPaused) return socket.terminate()
    answered = false
    socket.ping()
  }, PING_INTERVAL_MS)
  // Sent bytes count as under way until the connection below has taken them.
  const onSent = () => {
    if (!waiting || socket.bufferedAmount > LOW_WATER_BYTES) return
    waiting = false
    listeners.onDrain?.()
  }
  socket.on('pong', () => {
    answered = true
  })
  socket.on('message', (data: Buffer, isBinary) => listeners.onMessage?.(data, !isBinary))
  // An error, such as a frame over the limit, is followed by the close.
  socket.on('error', () => {})
  socket.once('close', (code) => {
    clearInterval(heartbeat)
    listeners.onClose?.(code)
  })
  return {
    listen(given) {
      listeners = given
    },
    send(message) {
      if (socket.readyState !== socket.OPEN) return true
      socket.send(message, { binary: typeof message !== 'string' }, onSent)
      if (socket.bufferedAmount > MAX_UNREAD_BYTES) socket.close(CLOSE_POLICY, 'reads too slowly')
      waiting = socket.bufferedAmount > HIGH_WATER_BYTES
      return !waiting
    },
    pause: () => socket.pause(),
    resume() {
      answered = true
      socket.resume()
    },
    close: (code, reason = '') => socket.close(code, cut(reason)),
    get open() {
      return socket.readyState === socket.OPEN
    },
  }
}

/** Returns as much of the reason as fits, without half a character. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason)
  if (bytes.length <= MAX_REASON_BYTES) return reason
  let end = MAX_REASON_BYTES
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.subarray(0, end).toString()
}
