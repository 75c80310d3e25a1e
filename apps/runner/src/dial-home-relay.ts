import { once } from 'node:events'
import { chmod, mkdir, rm } from 'node:fs/promises'
import type { IncomingMessage, Server } from 'node:http'
import { createServer, request as requestPlain } from 'node:http'
import { request as requestSecure } from 'node:https'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { pipeline } from 'node:stream'
import { DIAL_HOME_SOCKET_NAME, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import { linger } from '@atoll/tunnel'

/** Bounds on what an unauthenticated sandbox can make this process hold; its toolbox needs one connection. */
const MAX_HEAD_BYTES = 8 * 1024
const MAX_CONNECTIONS = 8
const HEAD_DEADLINE_MS = 10_000
/** How long the API may take to answer an upgrade, in milliseconds. */
const UPGRADE_DEADLINE_MS = 15_000

export interface DialHomeRelayOptions {
  /** Made if it is missing; appears in the sandbox. */
  folder: string
  /** Base URL of the API. */
  controlUrl: string
  log: Logger
}

/** A socket in a folder of its own through which a toolbox reaches one path of the API, TOOLBOX_TUNNEL_PATH, and no other. */
export interface DialHomeRelay extends AsyncDisposable {
  readonly folder: string
}

/**
 * Listens on the dial-home socket of one sandbox and passes upgrades of TOOLBOX_TUNNEL_PATH on to the API, over TLS when its URL
 * is https. Bytes flow only after the API has accepted the upgrade; then both ways, with backpressure.
 */
export async function startDialHomeRelay({ folder, controlUrl, log }: DialHomeRelayOptions): Promise<DialHomeRelay> {
  await mkdir(folder, { recursive: true })
  await chmod(folder, 0o755)
  const path = join(folder, DIAL_HOME_SOCKET_NAME)
  // A killed process may have left this socket; the data folder's lock says that none is listening.
  await rm(path, { force: true })
  const open = new Set<Duplex>()
  const server = createServer({ maxHeaderSize: MAX_HEAD_BYTES, headersTimeout: HEAD_DEADLINE_MS })
  server.maxConnections = MAX_CONNECTIONS
  server.on('request', (_, response) => response.writeHead(404, { connection: 'close' }).end())
  server.on('upgrade', (request, socket, head) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    socket.on('error', () => socket.destroy())
    if (request.url !== TOOLBOX_TUNNEL_PATH) return refuse(socket, '404 Not Found')
    relay({ request, socket, head }, { controlUrl, open, log })
  })
  await listen(server, path)
  await chmod(path, 0o666)
  return {
    folder,
    [Symbol.asyncDispose]: async () => {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of open) socket.destroy()
      server.closeAllConnections()
      await closed
    },
  }
}

async function listen(server: Server, path: string): Promise<void> {
  server.listen(path)
  await once(server, 'listening')
}

interface Upgrade {
  request: IncomingMessage
  socket: Duplex
  head: Buffer
}

function relay(upgrade: Upgrade, target: { controlUrl: string; open: Set<Duplex>; log: Logger }): void {
  const { request, socket, head } = upgrade
  const url = new URL(target.controlUrl + TOOLBOX_TUNNEL_PATH)
  const send = url.protocol === 'https:' ? requestSecure : requestPlain
  const { host: _, ...headers } = request.headers
  const outgoing = send(url, { headers, timeout: UPGRADE_DEADLINE_MS })
  socket.once('close', () => outgoing.destroy())
  outgoing.once('timeout', () => outgoing.destroy(new Error('the API did not answer in time')))
  outgoing.once('error', (error) => {
    target.log.debug({ err: error }, 'the API is out of reach of a toolbox')
    refuse(socket, '502 Bad Gateway')
  })
  outgoing.once('response', (response) => {
    response.resume()
    refuse(socket, `${response.statusCode} ${response.statusMessage}`)
  })
  outgoing.once('upgrade', (response, upstream, first) => {
    target.open.add(upstream)
    upstream.once('close', () => target.open.delete(upstream))
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${headerLines(response.rawHeaders)}\r\n`)
    if (first.length > 0) socket.write(first)
    if (head.length > 0) upstream.write(head)
    const ended = () => {
      // Either side may close at any time; the other is closed with it, and the toolbox dials again.
      socket.destroy()
      upstream.destroy()
    }
    pipeline(socket, upstream, ended)
    pipeline(upstream, socket, ended)
  })
  outgoing.end()
}

function headerLines(rawHeaders: readonly string[]): string {
  let lines = ''
  for (let index = 0; index < rawHeaders.length; index += 2)
    lines += `${rawHeaders[index]}: ${rawHeaders[index + 1]}\r\n`
  return lines
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`)
  linger(socket, socket)
}
