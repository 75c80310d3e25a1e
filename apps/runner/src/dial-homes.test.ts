import { once } from 'node:events'
import { mkdir, mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import type { Server } from 'node:http'
import { createServer, request } from 'node:http'
import type { Socket } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { DIAL_HOME_SOCKET_NAME, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { DialHomes } from './dial-homes.ts'
import { openDialHomeRelays, sharedDialHome } from './dial-homes.ts'
import { closeServer, listenOnLoopback } from './testing/listen.ts'

/** More connections than a sandbox may have. */
const MANY = 100

let folder: string
let api: Server
let controlUrl: string
let homes: DialHomes & AsyncDisposable
/** The API's ends of the upgraded connections. */
let upstream: Set<Duplex>

const open = () =>
  openDialHomeRelays({ folder: join(folder, 'dial-homes'), controlUrl, log: createLogger('test', 'silent') })

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-homes-'))
  upstream = new Set()
  api = createServer()
  api.on('upgrade', (_, socket) => {
    upstream.add(socket)
    socket.on('error', () => socket.destroy())
    socket.write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n')
  })
  controlUrl = await listenOnLoopback(api)
  homes = await open()
})
afterEach(async () => {
  await homes[Symbol.asyncDispose]()
  for (const socket of upstream) socket.destroy()
  await closeServer(api)
  await rm(folder, { recursive: true })
})

async function dial(at: string): Promise<Duplex> {
  const headers = { connection: 'upgrade', upgrade: 'websocket' }
  const dialled = request({ socketPath: join(at, DIAL_HOME_SOCKET_NAME), path: TOOLBOX_TUNNEL_PATH, headers }).end()
  const [, socket] = await once(dialled, 'upgrade')
  return socket
}

/** Opens connections on which nothing is sent. Resolves when those were closed that are too many. */
async function occupy(at: string): Promise<Socket[]> {
  const sockets = Array.from({ length: MANY }, () => connect(join(at, DIAL_HOME_SOCKET_NAME)))
  for (const socket of sockets) socket.on('error', () => socket.destroy()).resume()
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  await expect
    .poll(() => sockets.filter((socket) => socket.closed).length, { timeout: 60_000 })
    .toBeGreaterThan(MANY / 2)
  return sockets
}

it('a sandbox that takes all connections it can leaves others theirs', async () => {
  const [hostile, other] = [await homes.open('hostile'), await homes.open('other')]
  const taken = await occupy(hostile)
  await expect(dial(hostile)).rejects.toThrow()
  const socket = await dial(other)
  socket.destroy()
  for (const one of taken) one.destroy()
})

it('each sandbox has a folder of its own, and the same one each time', async () => {
  const [first, second] = [await homes.open('first'), await homes.open('second')]
  expect(first).not.toBe(second)
  expect(await homes.open('first')).toBe(first)
  expect(await readdir(first)).toEqual([DIAL_HOME_SOCKET_NAME])
})

it('the way of a sandbox that has ended is gone, with its connections', async () => {
  const socket = await dial(await homes.open('ended'))
  const closed = once(socket.resume(), 'close')
  await homes.close('ended')
  await closed
  await homes.close('ended')
  expect(await readdir(join(folder, 'dial-homes'))).toEqual([])
})

it('a sandbox that outlives its runner finds the next one in the folder that it has, and others leave nothing', async () => {
  const [running, ended] = [await homes.open('running'), await homes.open('ended')]
  const { ino } = await stat(running)
  await homes[Symbol.asyncDispose]()
  // A runner that was killed leaves its sockets.
  for (const at of [running, ended]) await writeFile(join(at, DIAL_HOME_SOCKET_NAME), '')
  await mkdir(join(folder, 'dial-homes', 'stray'))
  homes = await open()
  await homes.reconcile(['running'])
  expect(await readdir(join(folder, 'dial-homes'))).toEqual([basename(running)])
  expect((await stat(running)).ino).toBe(ino)
  const socket = await dial(running)
  socket.destroy()
})

it('a sandbox whose way cannot be opened again keeps no other from its own', async () => {
  const [broken, running] = [await homes.open('broken'), await homes.open('running')]
  await homes[Symbol.asyncDispose]()
  await rm(broken, { recursive: true })
  await writeFile(broken, '')
  homes = await open()
  await homes.reconcile(['broken', 'running'])
  const socket = await dial(running)
  socket.destroy()
})

it("the API's own socket is left to the API", async () => {
  const shared = sharedDialHome(folder)
  expect(await shared.open('one')).toBe(folder)
  await shared.close('one')
  await shared.reconcile([])
  expect(await readdir(folder)).toEqual(['dial-homes'])
})
