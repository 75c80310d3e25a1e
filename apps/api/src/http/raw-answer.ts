import type { Duplex } from 'node:stream'
import type { ErrorBody } from '@atoll/protocol'
import { linger } from '@atoll/tunnel'

/**
 * Answers on a bare socket, where there is no response object to write to, and closes the connection, whether its client
 * does or not.
 */
export function endWithError(socket: Duplex, body: ErrorBody): void {
  const text = JSON.stringify(body)
  socket.end(
    [
      `HTTP/1.1 ${body.statusCode} ${body.error}`,
      'connection: close',
      'content-type: application/json; charset=utf-8',
      `content-length: ${Buffer.byteLength(text)}`,
      '',
      text,
    ].join('\r\n'),
  )
  linger(socket, socket)
}
