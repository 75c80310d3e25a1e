import { spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { buffer } from 'node:stream/consumers'
import { openDuplex, requestBuffered } from '@atoll/tunnel'
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { WebSocketServer } from 'ws'
import type { ChannelFront } from '../testing/channel-client.ts'
import { startChannelFront } from '../testing/channel-client.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

/** Longer than the system may keep a process that shares its processors from running. */
const BUSY_MS = 400

let toolbox: TestToolbox
let front: ChannelFront
const servers: Server[] = []

beforeAll(async () => {
  toolbox = await createTestToolbox()
  front = await startChannelFront(toolbox.peer)
})
afterAll(async () => {
  await front[Symbol.asyncDispose]()
  await toolbox[Symbol.asyncDispose]()
})
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

type Answer = (req: IncomingMessage, res: ServerResponse) => void

async function serve(answer: Answer, host = '127.0.0.1'): Promise<{ server: Server; port: number }> {
  const server = createServer(answer)
  servers.push(server)
  server.listen(0, host)
  await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

function withBody(answer: (req: IncomingMessage, res: ServerResponse, body: Buffer) => void): Answer {
  return (req, res) => {
    buffer(req).then(
      (body) => answer(req, res, body),
      () => res.destroy(),
    )
  }
}

/** Returns a port without a listener that the system gives to no other program, because a connection holds it. */
async function unheardPort(): Promise<number> {
  const { port } = await serve(() => {})
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  return socket.localPort ?? 0
}

describe('the list of ports', () => {
  it('names the process behind each, on both families', async () => {
    const v4 = await serve(() => {})
    const v6 = await serve(() => {}, '::1')
    const response = await toolbox.call('GET', '/port')
    const { listeners } = bodyOf(response)
    expect(listeners).toContainEqual({
      port: v4.port,
      address: '127.0.0.1',
      pid: process.pid,
      command: expect.any(String),
    })
    expect(listeners).toContainEqual(expect.objectContaining({ port: v6.port, address: '::1', pid: process.pid }))
  })

  it('tells whether one of 3000 to 9999 is in use', async () => {
    const child = spawn(process.execPath, [
      '-e',
      `const s = require('http').createServer(); const next = (p) => { s.once('error', () => next(p + 1)); s.listen(p, '127.0.0.1', () => console.log(p)) }; next(${randomInt(3000, 9000)})`,
    ])
    const port = Number(String((await once(child.stdout, 'data'))[0]))
    try {
      expect(bodyOf(await toolbox.call('GET', `/port/${port}/in-use`))).toEqual({ isInUse: true })
      const { ports, listeners } = bodyOf(await toolbox.call('GET', '/port'))
      expect(ports).toContain(port)
      expect(listeners).toContainEqual(expect.objectContaining({ port, pid: child.pid }))
    } finally {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    expect(bodyOf(await toolbox.call('GET', `/port/${port}/in-use`))).toEqual({ isInUse: false })
  })

  it.each(['2999', '10000', '-1', 'http', '3000.5', '0x1000'])('knows no port %s', async (port) => {
    const response = await toolbox.call('GET', `/port/${port}/in-use`)
    expect(response.status).toBe(400)
  })
})

describe('a call to a port', () => {
  it('reaches the server with method, path, query and body, and brings its answer back', async () => {
    const { port } = await serve(
      withBody((req, res, body) => {
        const { host, 'x-forwarded-host': forwarded, 'x-own': own } = req.headers
        res.writeHead(201, { 'x-answer': 'yes', 'content-type': 'application/json' })
        res.end(JSON.stringify({ method: req.method, url: req.url, body: body.toString(), host, forwarded, own }))
      }),
    )
    const response = await requestBuffered(
      toolbox.peer,
      {
        method: 'PATCH',
        path: `/proxy/${port}/a%2Fb//c?x=1&x=2`,
        headers: { host: '3000-abc.localhost', 'x-own': 'kept', 'content-length': '5' },
        body: 'bytes',
      },
      { timeoutMs: 60_000, maxResponseBytes: 10_000 },
    )
    expect(response.status).toBe(201)
    expect(response.headers['x-answer']).toBe('yes')
    expect(bodyOf(response)).toEqual({
      method: 'PATCH',
      url: '/a%2Fb//c?x=1&x=2',
      body: 'bytes',
      host: `localhost:${port}`,
      forwarded: '3000-abc.localhost',
      own: 'kept',
    })
  })

  it.each(['', '/', '?a=b'])('means the root for %j behind the port', async (rest) => {
    const { port } = await serve((req, res) => res.end(req.url))
    const response = await toolbox.call('GET', `/proxy/${port}${rest}`)
    expect(response.body.toString()).toBe(rest === '?a=b' ? '/?a=b' : '/')
  })

  it('is marked when the toolbox itself refuses it, which no server can do', async () => {
    const refused = await toolbox.call('GET', `/proxy/${await unheardPort()}/`)
    expect([refused.status, refused.headers['x-atoll-toolbox-refusal']]).toEqual([502, 'PORT_UNREACHABLE'])
    const { port } = await serve((_req, res) => {
      res.writeHead(502, { 'x-atoll-toolbox-refusal': 'PORT_UNREACHABLE', 'x-own': 'kept' }).end()
    })
    const { status, headers } = await toolbox.call('GET', `/proxy/${port}/`)
    expect([status, headers['x-own'], headers['x-atoll-toolbox-refusal']]).toEqual([502, 'kept', undefined])
  })

  it('reaches the server though this process is busy for long after it began to connect', async () => {
    const { port } = await serve((_req, res) => res.end('late'))
    const beBusy = () => {
      const until = performance.now() + BUSY_MS
      while (performance.now() < until);
    }
    // The socket connects some ticks after it is made, and is seen to be connected a turn later.
    const soon = () => process.nextTick(() => process.nextTick(() => queueMicrotask(beBusy)))
    subscribe('net.client.socket', soon)
    onTestFinished(() => void unsubscribe('net.client.socket', soon))
    expect((await toolbox.call('GET', `/proxy/${port}/`)).body.toString()).toBe('late')
  })

  it('finds a server on the IPv6 loopback', async () => {
    const { port } = await serve((_req, res) => res.end('six'), '::1')
    expect((await toolbox.call('GET', `/proxy/${port}/`)).body.toString()).toBe('six')
  })

  it.each(['GET', 'DELETE', 'POST'])('passes a body of unknown length on with %s', async (method) => {
    const { port } = await serve(withBody((_req, res, body) => res.end(String(body.length))))
    const { duplex, response } = openDuplex(toolbox.peer, { method, path: `/proxy/${port}/`, headers: {} })
    duplex.write('x'.repeat(1000))
    duplex.end('y'.repeat(500))
    expect((await response).status).toBe(200)
    expect((await buffer(duplex)).toString()).toBe('1500')
  })

  it('answers HEAD, 204 and 304 without a body', async () => {
    const { port } = await serve((req, res) => {
      res.writeHead(Number(req.url?.slice(1)), { etag: '"1"' })
      res.end(req.method === 'HEAD' ? undefined : '')
    })
    expect(await toolbox.call('HEAD', `/proxy/${port}/200`)).toMatchObject({ status: 200, body: Buffer.alloc(0) })
    expect(await toolbox.call('GET', `/proxy/${port}/204`)).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    expect(await toolbox.call('GET', `/proxy/${port}/304`)).toMatchObject({ status: 304, headers: { etag: '"1"' } })
  })

  it('streams an answer as it comes', async () => {
    let finish = () => {}
    const { port } = await serve((_req, res) => {
      res.write('first')
      finish = () => res.end('last')
    })
    const { duplex, response } = openDuplex(toolbox.peer, { method: 'GET', path: `/proxy/${port}/`, headers: {} })
    duplex.end()
    await response
    expect(String((await once(duplex, 'data'))[0])).toBe('first')
    finish()
    expect((await buffer(duplex)).toString()).toBe('last')
  })

  it('holds a server back whose client does not read', async () => {
    let sent = 0
    const { port } = await serve((_req, res) => {
      const push = () => {
        while (sent < 2 ** 30 && res.write(Buffer.alloc(65_536))) sent += 65_536
      }
      res.on('drain', push)
      push()
    })
    const { duplex, response } = openDuplex(toolbox.peer, { method: 'GET', path: `/proxy/${port}/`, headers: {} })
    duplex.end()
    await response
    let before = -1
    while (before !== sent) {
      before = sent
      for (let turn = 0; turn < 200; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    }
    expect(sent).toBeLessThan(64 * 2 ** 20)
    duplex.destroy()
  })

  it('leaves the server when its caller leaves', async () => {
    let left: Promise<unknown> = Promise.resolve()
    let reached = () => {}
    const started = new Promise<void>((resolve) => {
      reached = resolve
    })
    const { port } = await serve((_req, res) => {
      res.write('x')
      left = new Promise((resolve) => res.once('close', resolve))
      reached()
    })
    const { duplex, response } = openDuplex(toolbox.peer, { method: 'GET', path: `/proxy/${port}/`, headers: {} })
    duplex.end()
    await Promise.all([response, started])
    duplex.destroy()
    await left
  })

  it('carries a WebSocket', async () => {
    const { server, port } = await serve(() => {})
    const sockets = new WebSocketServer({ server, handleProtocols: () => 'chat' })
    sockets.on('connection', (socket, req) => {
      socket.send(req.url ?? '')
      socket.on('message', (data, isBinary) => socket.send(data, { binary: isBinary }))
    })
    const client = await front.connect(`/proxy/${port}/live?x=1`, { subprotocols: ['chat'] })
    expect(await client.next()).toBe('/live?x=1')
    client.socket.send(Buffer.alloc(300_000, 'z'))
    expect(await client.next()).toHaveLength(300_000)
    for (const socket of sockets.clients) socket.close(4001, 'bye')
    expect(await client.closed).toEqual({ code: 4001, reason: 'bye' })
  })

  it('brings back the answer of a server that takes no upgrade', async () => {
    const { port } = await serve((_req, res) => res.writeHead(426).end())
    await expect(front.connect(`/proxy/${port}/`)).rejects.toThrow('Unexpected server response: 426')
  })

  it('is a 502 where nothing listens, with or without an upgrade', async () => {
    const port = await unheardPort()
    const response = await toolbox.call('GET', `/proxy/${port}/`)
    expect(response.status).toBe(502)
    expect(bodyOf(response)).toMatchObject({
      code: 'PORT_UNREACHABLE',
      message: `nothing listens on port ${port}`,
    })
    await expect(front.connect(`/proxy/${port}/`)).rejects.toThrow('Unexpected server response: 502')
  })

  it('is a 502 when the server breaks off before its answer, and breaks off when it does so later', async () => {
    const early = await serve((req) => req.socket.destroy())
    expect((await toolbox.call('GET', `/proxy/${early.port}/`)).status).toBe(502)
    const late = await serve((req, res) => {
      res.writeHead(200, { 'content-length': '100' })
      res.write('half', () => req.socket.destroy())
    })
    await expect(toolbox.call('GET', `/proxy/${late.port}/`)).rejects.toMatchObject({ code: 'CANCELLED' })
  })

  it.each(['/proxy/', '/proxy/0/', '/proxy/65536/', '/proxy/http/', '/proxy/80a/', '/proxy/-1/', '/proxy/123456/'])(
    '%s is a 400',
    async (path) => {
      expect((await toolbox.call('GET', path)).status).toBe(400)
    },
  )
})
