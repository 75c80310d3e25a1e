import { IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { Headers, IncomingExchange } from '@atoll/tunnel'
import type { WebSocket } from 'ws'
import { WebSocketServer } from 'ws'

/** The largest message a client may send, in bytes. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
const KEY = /^[+/0-9A-Za-z]{22}==$/
const SWITCHING_PROTOCOLS = 101

/** Returns whether an exchange asks to become a WebSocket. */
export function asksForWebSocket({ head }: IncomingExchange): boolean {
  return one(head.headers, 'upgrade').toLowerCase() === 'websocket'
}

/** Returns the subprotocols that a client offers, in its order. */
export function offeredSubprotocols(headers: Headers): string[] {
  return one(headers, 'sec-websocket-protocol')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
}

/** Throws BAD_REQUEST for a request that is not a WebSocket handshake of version 13. */
export function checkHandshake({ head }: IncomingExchange): void {
  const good =
    head.method === 'GET' &&
    KEY.test(one(head.headers, 'sec-websocket-key')) &&
    one(head.headers, 'sec-websocket-version') === '13'
  if (!good) throw new AppError('BAD_REQUEST', 'this is no WebSocket handshake of version 13')
}

/** Completes a handshake that `checkHandshake` has passed; `duplex` is the exchange's. */
export function acceptChannel(
  exchange: IncomingExchange,
  { duplex, subprotocol }: { duplex: Duplex; subprotocol: string | undefined },
): WebSocket {
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: () => subprotocol ?? false,
  })
  const request = Object.assign(new IncomingMessage(new Socket()), {
    method: exchange.head.method,
    url: exchange.head.path,
    headers: exchange.head.headers,
  })
  answerWithHead(exchange, duplex)
  let accepted: WebSocket | undefined
  server.handleUpgrade(request, duplex, Buffer.alloc(0), (socket) => {
    accepted = socket
  })
  if (accepted === undefined) throw new Error('the WebSocket handshake failed after it was checked')
  return accepted
}

/** Turns the answer that `ws` writes once, as the text of HTTP, into a head for the tunnel. */
function answerWithHead(exchange: IncomingExchange, duplex: Duplex): void {
  const { write } = duplex
  duplex.write = (text: unknown) => {
    duplex.write = write
    const lines = String(text).split('\r\n').slice(1)
    const fields = lines.flatMap((line) => /^([^:]+): (.*)$/.exec(line)?.slice(1) ?? [])
    const headers: Headers = {}
    for (let index = 0; index < fields.length; index += 2) {
      headers[(fields[index] ?? '').toLowerCase()] = fields[index + 1] ?? ''
    }
    exchange.respond({ status: SWITCHING_PROTOCOLS, headers })
    return true
  }
}

function one(headers: Headers, name: string): string {
  const value = headers[name]
  return typeof value === 'string' ? value : ''
}
