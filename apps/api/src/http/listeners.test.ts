import { once } from 'node:events'
import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { DIAL_HOME_SOCKET_NAME, TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openSocket, rawHttp, readAnswer } from '../testing/raw-http.ts'
import { createTestFrame } from '../testing/test-frame.ts'
import { until } from '../testing/until.ts'
import type { UpgradeHandler } from './dial-home-server.ts'
import type { ListenersOptions } from './listeners.ts'
import { createListeners } from './listeners.ts'
import { refuseUpgrade } from './upgrades.ts'
import type { WaitingRoom } from './waiting-room.ts'
import { createWaitingRoom } from './waiting-room.ts'

const UPGRADE = 'host: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'
let dir: string
let socketPath: string

beforeEach(async () => {
  dir = join(await mkdtemp(join(tmpdir(), 'atoll-listeners-')), 'dial-home')
  socketPath = join(dir, DIAL_HOME_SOCKET_NAME)
})
afterEach(() => rm(join(dir, '..'), { recursive: true, force: true }))

test('a port that is taken is named in one line', async () => {
  const other = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as AddressInfo
  await using opened = await open({ port, dialHomeDir: undefined })
  await expect(opened.listeners.open()).rejects.toThrow(new Error(`port ${port} on 127.0.0.1 is in use`))
  other.close()
})

test('an address that is none of this machine is named', async () => {
  await using opened = await open({ host: '192.0.2.1' })
  await expect(opened.listeners.open()).rejects.toThrow('192.0.2.1 is no address of this machine')
})

test('the dial-home socket is open to every user and lies in a folder that others cannot change', async () => {
  await using opened = await open({})
  await opened.listeners.open()
  expect((await stat(socketPath)).mode & 0o777).toBe(0o666)
  expect((await stat(dir)).mode & 0o777).toBe(0o755)
})

test('the dial-home socket serves the tunnel of toolboxes and nothing else', async () => {
  const upgraded: string[] = []
  await using opened = await open({}, (request, socket) => {
    upgraded.push(request.url ?? '')
    socket.end('HTTP/1.1 101 Switching Protocols\r\n\r\n')
  })
  await opened.listeners.open()
  const ask = (target: string, rest: string) => rawHttp(socketPath, `GET ${target} HTTP/1.1\r\n${rest}`)
  expect(await ask('/api/health', 'host: x\r\n\r\n')).toMatchObject({ status: 404 })
  expect(await ask(TOOLBOX_TUNNEL_PATH, 'host: x\r\n\r\n')).toMatchObject({ status: 404 })
  for (const path of ['/api/tunnels/runner', '/api/tunnels/toolbox/', '/api/tunnels/../tunnels/toolbox', '//x']) {
    const answer = await ask(path, UPGRADE)
    expect(JSON.parse(answer.body)).toMatchObject({ statusCode: 404, code: 'NOT_FOUND' })
  }
  expect(upgraded).toEqual([])
  expect(await ask(`${TOOLBOX_TUNNEL_PATH}?a=1`, UPGRADE)).toMatchObject({ status: 101 })
  expect(upgraded).toEqual([`${TOOLBOX_TUNNEL_PATH}?a=1`])
})

test('an upgrade that nobody takes is refused as plain HTTP', async () => {
  await using opened = await open({})
  const port = Number(new URL(await opened.listeners.open()).port)
  const answer = await rawHttp(port, `GET /api/health HTTP/1.1\r\n${UPGRADE}`)
  expect(answer).toMatchObject({ status: 404 })
  expect(JSON.parse(answer.body)).toMatchObject({ message: 'Cannot upgrade /api/health' })
})

test('a connection whose upgrade was refused is closed, whether its client closes it or writes on', async () => {
  await using opened = await open({})
  const port = Number(new URL(await opened.listeners.open()).port)
  const keeping = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  const leaving = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
  for (const socket of [keeping, leaving]) {
    socket.write(`GET / HTTP/1.1\r\n${UPGRADE}`)
    await once(socket, 'data')
  }
  leaving.end('x')
  await until('no connection is left', async () => (await opened.connections()) === 0)
  for (const socket of [keeping, leaving]) socket.destroy()
})

test('a socket whose owner was killed is replaced', async () => {
  await using first = await open({})
  await first.listeners.open()
  await first.dispose()
  await writeFile(socketPath, '')
  await using second = await open({})
  await second.listeners.open()
  expect(await rawHttp(socketPath, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')).toMatchObject({ status: 404 })
})

test('a socket on which somebody answers is left to them', async () => {
  await using first = await open({})
  await first.listeners.open()
  await using second = await open({})
  await expect(second.listeners.open()).rejects.toThrow(`dial-home socket ${socketPath} is in use`)
  expect(await rawHttp(socketPath, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')).toMatchObject({ status: 404 })
})

test('connections that send nothing do not keep the servers from closing', async () => {
  await using opened = await open({})
  const port = Number(new URL(await opened.listeners.open()).port)
  const silent = await Promise.all([openSocket(port), openSocket(socketPath)])
  const ends = silent.map((socket) => readAnswer(socket))
  await opened.dispose()
  await Promise.all(ends)
  await expect(openSocket(port)).rejects.toThrow('ECONNREFUSED')
  await expect(stat(socketPath)).rejects.toThrow('ENOENT')
})

test('garbage on the dial-home socket harms nobody', async () => {
  await using opened = await open({})
  await opened.listeners.open()
  expect(await rawHttp(socketPath, '\u0000\u0001garbage\r\n\r\n')).toMatchObject({ status: 400 })
  expect(await rawHttp(socketPath, 'GET / HTTP/1.1\r\nhost: x\r\n\r\n')).toMatchObject({ status: 404 })
})

test('a port of a host that is unreachable from here is answered by its loopback address', async () => {
  await using opened = await open({ host: '0.0.0.0', dialHomeDir: undefined })
  expect(await opened.listeners.open()).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
})

describe('connections of sandboxes that have not shown yet that they may stay', () => {
  const silence = async (count: number) => {
    const sockets = await Promise.all(Array.from({ length: count }, () => openSocket(socketPath)))
    return sockets.map((socket) => socket.resume())
  }

  test('go, the oldest first, when they are too many, and keep none out that may stay', async () => {
    const waitingRoom = createWaitingRoom({ max: 4 })
    const letIn: UpgradeHandler = (_, socket) => {
      waitingRoom.leave(socket)
      socket.write('HTTP/1.1 101 Switching Protocols\r\n\r\n')
      socket.pipe(socket)
    }
    await using opened = await open({}, letIn, waitingRoom)
    await opened.listeners.open()
    const early = await silence(8)
    const toolbox = await openSocket(socketPath)
    toolbox.write(`GET ${TOOLBOX_TUNNEL_PATH} HTTP/1.1\r\n${UPGRADE}`)
    expect(String(await once(toolbox, 'data'))).toMatch(/^HTTP\/1.1 101 /)
    const late = await silence(8)
    await until('only the last four are left', () => [...early, ...late].filter(({ closed }) => !closed).length === 4)
    expect(late.slice(-4).some(({ closed }) => closed)).toBe(false)
    toolbox.write('hello')
    expect(String(await once(toolbox, 'data'))).toBe('hello')
    for (const socket of [toolbox, ...late]) socket.destroy()
  })

  test('go after a while', async () => {
    await using opened = await open({}, undefined, createWaitingRoom({ deadlineMs: 20 }))
    await opened.listeners.open()
    const [socket] = await silence(1)
    await until('it is closed', () => socket?.closed === true)
  })
})

async function open(
  config: Partial<ListenersOptions['config']>,
  upgrade?: UpgradeHandler,
  waitingRoom: WaitingRoom = createWaitingRoom(),
) {
  const frame = await createTestFrame(async () => undefined)
  const listeners = createListeners({
    app: frame.app,
    config: { host: '127.0.0.1', port: 0, dialHomeDir: dir, ...config },
    upgrade: (request, socket) => refuseUpgrade(request, socket),
    waitingRoom,
    dialHomeUpgrade: upgrade ?? ((request, socket) => refuseUpgrade(request, socket)),
    log: createLogger('test', 'silent'),
    now: Date.now,
  })
  const dispose = async () => {
    listeners.refuseNew()
    await listeners.dropAll()
  }
  const connections = promisify(frame.app.server.getConnections.bind(frame.app.server))
  return { listeners, connections, dispose, [Symbol.asyncDispose]: dispose }
}
