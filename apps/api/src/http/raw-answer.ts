import type { ErrorBody } from '@atoll/protocol'

/** Any socket that takes the bytes of an HTTP response and closes. */
interface ResponseSocket {
  end(text: string): unknown
}

/** Answers on a bare socket, where there is no response object to write to, and closes the connection. */
export function endWithError(socket: ResponseSocket, body: ErrorBody): void {
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
}
