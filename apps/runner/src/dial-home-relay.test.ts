import { once } from 'node:events'
import { mkdtemp, readdir, rm, stat } from 'node:fs/promises'
import type { Server } from 'node:http'
import { createServer, request } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { DIAL_HOME_SOCKET_NAME, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { DialHomeRelay } from './dial-home-relay.ts'
import { startDialHomeRelay } from './dial-home-relay.ts'
import { closeServer, listenOnLoopback } from './testing/listen.ts'

const log = createLogger('test', 'silent')
const MIB = 1024 * 1024

let folder: string
let api: Server
let relay: DialHomeRelay
/** The head of each upgrade that the API saw. */
let seen: { url: string | undefined; authorization: string | undefined; host: string | undefined }[]
let requests: number
/** The API's ends of the upgraded connections. */
let upstream: Set<Duplex>

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-relay-'))
  seen = []
  requests = 0
  upstream = new Set()
  api = createServer((_, response) => {
    requests += 1
    response.end()
  })
  api.on('upgrade', ({ url, headers }, socket) => {
    const { authorization, host } = headers
    seen.push({ url, authorization, host })
    if (authorization === 'Bearer bad') {
      socket.end('HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n')
      return
    }
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\nwelcome')
    upstream.add(socket)
    socket.on('error', () => socket.destroy()).once('close', () => upstream.delete(socket))
    if (authorization !== 'Bearer silent') socket.pipe(socket)
  })
  const url = await listenOnLoopback(api)
  relay = await startDialHomeRelay({ folder: join(folder, 'dial-home'), controlUrl: `${url}/base`, log })
})
afterEach(async () => {
  await relay[Symbol.asyncDispose]()
  for (const socket of upstream) socket.destroy()
  await closeServer(api)
  await rm(folder, { recursive: true })
})

function dial(token: string, path = TOOLBOX_TUNNEL_PATH) {
  const headers = { connection: 'upgrade', upgrade: 'websocket', authorization: `Bearer ${token}` }
  return request({ socketPath: join(relay.folder, DIAL_HOME_SOCKET_NAME), path, headers }).end()
}

async function dialUpgraded(token: string): Promise<{ socket: Duplex; first: Buffer }> {
  const [, socket, first] = await once(dial(token), 'upgrade')
  return { socket, first }
}

it('every user of a sandbox may dial, and the folder holds the socket alone', async () => {
  expect((await stat(relay.folder)).mode & 0o777).toBe(0o755)
  expect((await stat(join(relay.folder, DIAL_HOME_SOCKET_NAME))).mode & 0o777).toBe(0o666)
  expect(await readdir(relay.folder)).toEqual([DIAL_HOME_SOCKET_NAME])
})

it('a toolbox reaches the API below its base URL, with its token, and bytes flow both ways', async () => {
  const { socket, first } = await dialUpgraded('good')
  let text = first.toString()
  socket.write('hello')
  while (!text.endsWith('hello')) text += (await once(socket, 'data'))[0]
  expect(text).toBe('welcomehello')
  expect(seen).toMatchObject([{ url: `/base${TOOLBOX_TUNNEL_PATH}`, authorization: 'Bearer good' }])
  expect(seen[0]?.host).toMatch(/^127\.0\.0\.1:/)
  socket.destroy()
})

it('what does not read makes the other side wait, and little is held', async () => {
  const { socket } = await dialUpgraded('silent')
  let accepted = 0
  const chunk = Buffer.alloc(MIB)
  // Yields after each write, until the sockets' own buffers are full and no side takes any more.
  while (socket.writableLength < 4 * MIB) {
    socket.write(chunk)
    accepted += chunk.length
    await new Promise((resolve) => setImmediate(resolve))
    if (accepted > 64 * MIB) throw new Error('the relay takes everything')
  }
  socket.destroy()
})

it('the end of either side ends the other', async () => {
  const first = await dialUpgraded('good')
  const closed = once(first.socket.resume(), 'close')
  for (const socket of upstream) socket.destroy()
  await closed
  const second = await dialUpgraded('good')
  const [socket] = upstream
  const ended = once(socket?.resume() ?? api, 'close')
  second.socket.destroy()
  await ended
})

it('a refusal of the API reaches the toolbox', async () => {
  const [response] = await once(dial('bad'), 'response')
  expect(response.statusCode).toBe(401)
})

it.each(['/', '/api/tunnels/runner', `${TOOLBOX_TUNNEL_PATH}/..`, `${TOOLBOX_TUNNEL_PATH}?x`, '/api/sandbox'])(
  'the path %s is out of reach',
  async (path) => {
    const [upgrade] = await once(dial('good', path), 'response')
    expect(upgrade.statusCode).toBe(404)
    const plain = request({ socketPath: join(relay.folder, DIAL_HOME_SOCKET_NAME), path }).end()
    const [response] = await once(plain, 'response')
    expect(response.statusCode).toBe(404)
    expect([seen, requests]).toEqual([[], 0])
  },
)

it('nothing that follows a refused upgrade on the same connection reaches the API', async () => {
  const socket = connect(join(relay.folder, DIAL_HOME_SOCKET_NAME))
  const head = `GET ${TOOLBOX_TUNNEL_PATH} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\nauthorization: Bearer bad\r\n\r\n`
  socket.write(`${head}GET /api/sandbox HTTP/1.1\r\nhost: x\r\n\r\n`)
  let text = ''
  for await (const piece of socket) text += piece
  expect(text).toMatch(/^HTTP\/1\.1 401 /)
  expect([seen.length, requests]).toEqual([1, 0])
})

it.each([
  { clients: 'keep them', onAnswer: () => undefined },
  { clients: 'write on and close them', onAnswer: (socket: Socket) => socket.end('x') },
])('connections that were refused take no room from others when their clients $clients', async ({ onAnswer }) => {
  const refused = Array.from({ length: 8 }, () =>
    connect({ path: join(relay.folder, DIAL_HOME_SOCKET_NAME), allowHalfOpen: true }),
  )
  for (const socket of refused) {
    socket.on('error', () => socket.destroy())
    socket.write('GET /x HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
    await once(socket, 'data')
    onAnswer(socket)
  }
  const connected = async () => {
    try {
      return (await dialUpgraded('good')).socket.destroy().destroyed
    } catch {
      return false
    }
  }
  await expect.poll(connected, { timeout: 60_000 }).toBe(true)
  for (const socket of refused) socket.destroy()
})

it('an API that is away is a bad gateway', async () => {
  await closeServer(api)
  const [response] = await once(dial('good'), 'response')
  expect(response.statusCode).toBe(502)
  api = createServer()
  await listenOnLoopback(api)
})
