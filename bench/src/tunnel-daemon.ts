/*
 * The daemon in the sandbox of this benchmark. It gives the same answers over a port of its own (direct, and behind an
 * ordinary proxy) and through the tunnels that it dials, whose URLs are its arguments.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { dialTunnel, type IncomingExchange } from '@atoll/tunnel'
import { serveParent } from './tunnel-programs.ts'

const CHUNK = Buffer.alloc(64 * 1024, 'x')
const SMALL = Buffer.from(JSON.stringify({ name: 'a.txt', size: 12, isDir: false, mode: '0644', owner: 'daytona' }))
const smallHeaders = { 'content-type': 'application/json', 'content-length': String(SMALL.length) }

/** Returns the number of bytes to send for `/download?bytes=N`. */
function downloadBytes(path: string): number {
  return Number(new URL(path, 'http://daemon').searchParams.get('bytes'))
}

function answerHttp(req: IncomingMessage, res: ServerResponse): void {
  const path = req.url ?? '/'
  if (path.startsWith('/download')) {
    const bytes = downloadBytes(path)
    res.writeHead(200, { 'content-length': String(bytes) })
    sendBytes(bytes, {
      write: (chunk) => res.write(chunk),
      end: () => res.end(),
      onDrain: (call) => res.on('drain', call),
    })
  } else if (path.startsWith('/upload')) {
    req.on('data', () => {})
    req.on('end', () => res.writeHead(200, smallHeaders).end(SMALL))
  } else if (path.startsWith('/echo')) {
    req.on('data', (chunk: Buffer) => res.writeHead(200, { 'content-length': String(chunk.length) }).end(chunk))
  } else res.writeHead(200, smallHeaders).end(SMALL)
}

function answerExchange(exchange: IncomingExchange): void {
  const { path } = exchange.head
  const handlers = { onData: (_chunk: Buffer) => {}, onEnd: () => {}, onReset: () => {}, onDrain: () => {} }
  exchange.handlers = handlers
  if (path.startsWith('/download')) {
    const bytes = downloadBytes(path)
    exchange.respond({ status: 200, headers: { 'content-length': String(bytes) } })
    sendBytes(bytes, {
      write: (chunk) => exchange.write(chunk),
      end: () => exchange.end(),
      onDrain: (call) => {
        handlers.onDrain = call
      },
    })
  } else if (path.startsWith('/upload')) handlers.onEnd = () => answerSmall(exchange)
  else if (path.startsWith('/echo')) {
    handlers.onData = (chunk) => {
      exchange.respond({ status: 200, headers: { 'content-length': String(chunk.length) } })
      exchange.end(chunk)
    }
  } else answerSmall(exchange)
}

function answerSmall(exchange: IncomingExchange): void {
  exchange.respond({ status: 200, headers: smallHeaders })
  exchange.end(SMALL)
}

interface Sink {
  write(chunk: Buffer): boolean
  end(): void
  onDrain(call: () => void): void
}

function sendBytes(bytes: number, sink: Sink): void {
  let left = bytes
  const send = () => {
    while (left > 0) {
      const chunk = left >= CHUNK.length ? CHUNK : CHUNK.subarray(0, left)
      left -= chunk.length
      if (!sink.write(chunk) && left > 0) return
    }
    if (left === 0) {
      left = -1
      sink.end()
    }
  }
  sink.onDrain(send)
  send()
}

const server = createServer(answerHttp)
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
for (const url of process.argv.slice(2)) await dialTunnel({ url, onRequest: answerExchange })
serveParent((server.address() as AddressInfo).port)
