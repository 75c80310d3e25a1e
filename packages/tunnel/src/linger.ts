import type { Duplex, Readable } from 'node:stream'

/** How long a client that was answered may keep its connection before it is cut, in milliseconds. */
const LINGER_MS = 2_000

/**
 * Reads and drops what a client still sends after its answer, for a moment: if the connection closed at once, the answer
 * could be lost. Cuts the client's `socket` unless `stream`, its request or the connection itself, has closed by then.
 */
export function linger(stream: Readable, socket: Duplex): void {
  if (socket.destroyed) return
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  stream.once('close', () => clearTimeout(timer))
  stream.resume()
}
