import { chmod, mkdir, rm } from 'node:fs/promises'
import type { IncomingMessage, Server } from 'node:http'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { AppError, DIAL_HOME_SOCKET_NAME, errorBody, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import { pathOf } from './error-handler.ts'
import { refuseUpgrade } from './upgrades.ts'
import type { WaitingRoom } from './waiting-room.ts'

/** Handles a request to upgrade; it answers or destroys the socket in every case. */
export type UpgradeHandler = (request: IncomingMessage, socket: Duplex, head: Buffer) => void

/** Sandboxes are not trusted: a connection that does not send its whole head in this time is dropped. */
const HEADERS_TIMEOUT_MS = 10_000
const MAX_HEADER_BYTES = 16 * 1024
const PROBE_DEADLINE_MS = 1_000

/**
 * Listens on the socket that the sandboxes of this host dial. It serves only the toolbox's tunnel, so that a user of a
 * sandbox reaches nothing else through it.
 */
export async function listenForToolboxes(options: {
  dir: string
  upgrade: UpgradeHandler
  /** Gets each connection; the handler of upgrades takes those that may stay out of it. */
  waitingRoom: WaitingRoom
  now: () => number
}): Promise<Server> {
  const path = join(options.dir, DIAL_HOME_SOCKET_NAME)
  await mkdir(options.dir, { recursive: true, mode: 0o755 })
  // mkdir's mode is subject to the umask, and sandboxes run as other users.
  await chmod(options.dir, 0o755)
  if (await somebodyAnswers(path)) throw new Error(`dial-home socket ${path} is in use by another Atoll`)
  await rm(path, { force: true })
  const server = createServer({ maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS })
  server.on('connection', options.waitingRoom.enter)
  server.on('request', (request, response) => {
    const error = new AppError('NOT_FOUND', `Cannot ${request.method} ${pathOf(request.url)}`)
    const { method = '', url } = request
    response.writeHead(error.status, { 'content-type': 'application/json; charset=utf-8', connection: 'close' })
    response.end(
      JSON.stringify(errorBody(error, { source: 'DAYTONA_API', method, path: pathOf(url), now: options.now() })),
    )
  })
  server.on('upgrade', (request, socket, head) => {
    if (pathOf(request.url) === TOOLBOX_TUNNEL_PATH) options.upgrade(request, socket, head)
    else refuseUpgrade(request, socket)
  })
  await listen(server, path)
  await chmod(path, 0o666)
  return server
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

/** Tells whether a server answers on the socket: the file of a killed server stays, but nothing answers on it. */
function somebodyAnswers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const settle = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(PROBE_DEADLINE_MS, () => settle(true))
    socket.once('connect', () => settle(true))
    socket.once('error', () => settle(false))
  })
}
