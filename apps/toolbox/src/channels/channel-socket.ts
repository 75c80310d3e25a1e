import type { WebSocket } from 'ws'

/** Above this many bytes on their way `send` asks its caller to wait, and below LOW_WATER_BYTES to go on. */
export const HIGH_WATER_BYTES = 256 * 1024
const LOW_WATER_BYTES = 64 * 1024
/** A client that leaves this much unread, sent in spite of the above, is cut off with 1008. */
const MAX_UNREAD_BYTES = 16 * 1024 * 1024
const PING_INTERVAL_MS = 30_000
/** Longest reason of a close frame, in bytes of UTF-8. */
const MAX_REASON_BYTES = 123

export const CLOSE_NORMAL = 1000
export const CLOSE_POLICY = 1008
export const CLOSE_ERROR = 1011

export interface ChannelListeners {
  /** `text` tells whether it came as a text frame. The bytes are the receiver's to keep. */
  onMessage?(message: Buffer, text: boolean): void
  /** `send` returned false before, and the client has read enough for more. */
  onDrain?(): void
  /** Called once, whoever closed. */
  onClose?(code: number): void
}

/** An open WebSocket to a client, with bounded buffers and a heartbeat. */
export interface ChannelSocket {
  /** Set them in `attach`, synchronously. */
  listen(listeners: ChannelListeners): void
  /**
   * Sends a text frame for a string, a binary one for bytes, which must not be changed afterwards. Returns false when
   * the caller should wait for `onDrain`. After the close it does nothing and returns true.
   */
  send(message: string | Uint8Array): boolean
  /** Stops and continues reading from the client. */
  pause(): void
  resume(): void
  /** Sends what is queued, then the close frame; `reason` is cut to what a close frame holds. */
  close(code: number, reason?: string): void
  readonly open: boolean
}

export function createChannelSocket(socket: WebSocket): ChannelSocket {
  let listeners: ChannelListeners = {}
  let waiting = false
  let answered = true
  const heartbeat = setInterval(() => {
    // From one that is not read no answer can come.
    if (!answered && !socket.isPaused) return socket.terminate()
    answered = false
    socket.ping()
  }, PING_INTERVAL_MS)
  // What is sent counts as bytes on their way until the connection below has taken it.
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

/** At most what fits, never half a character. */
function cut(reason: string): string {
  const bytes = Buffer.from(reason)
  if (bytes.length <= MAX_REASON_BYTES) return reason
  let end = MAX_REASON_BYTES
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1
  return bytes.subarray(0, end).toString()
}
