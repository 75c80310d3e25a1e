import { once } from 'node:events'
import { connect } from 'node:net'
import type { Sandbox } from '@atoll/protocol'
import { TOOLBOX_TUNNEL_PATH } from '@atoll/protocol'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { describeCall } from '../testing/scripted-toolbox.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
let sandbox: Sandbox

beforeAll(async () => {
  world = await createSandboxWorld()
  sandbox = await world.create()
})
afterAll(() => world[Symbol.asyncDispose]())
beforeEach(() => {
  world.runner.script = describeCall
})

const ignore = { onData: () => undefined, onEnd: () => undefined, onReset: () => undefined }

function target(path: string, id = sandbox.id): string {
  return `/toolbox/${id}/toolbox${path}`
}

describe('an upgrade', () => {
  function upgrade(path: string, headers: Record<string, string>) {
    const port = Number(new URL(world.url).port)
    const socket = connect(port, '127.0.0.1')
    const lines = Object.entries({ host: 'x', connection: 'Upgrade', upgrade: 'echo', ...headers })
    const head = [`GET /api${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
    let text = ''
    socket.setEncoding('latin1').on('data', (piece) => {
      text += piece
    })
    socket.on('error', () => undefined)
    socket.write(head)
    return { socket, text: () => text }
  }

  it('joins client and toolbox as two raw streams', async () => {
    world.runner.script = (exchange) => {
      exchange.handlers = {
        ...ignore,
        onData: (piece) => exchange.write(Buffer.from(piece.toString().toUpperCase())),
        onEnd: () => exchange.end(Buffer.from('bye')),
      }
      exchange.respond({ status: 101, headers: { upgrade: 'echo', 'set-cookie': 'a=b' } })
    }
    const { socket, text } = upgrade(target('/process/pty/1/connect?x=1'), world.principal.headers)
    await until('it is upgraded', () => text().includes('\r\n\r\n'))
    expect(text()).toMatch(/^HTTP\/1\.1 101 /)
    expect(text().toLowerCase()).not.toContain('set-cookie')
    socket.write('hello')
    await until('it echoes', () => text().endsWith('HELLO'))
    socket.end()
    await once(socket, 'close')
    expect(text().endsWith('bye')).toBe(true)
    await until('it is counted as what it was', async () => {
      const metrics = await (await fetch(`${world.url}/metrics`)).text()
      return /route="\/api\/toolbox[^"]*",status="101"/.test(metrics)
    })
  })

  it('is refused with plain HTTP, as any call is', async () => {
    const cases = [
      [target('/x'), {}, 401],
      [target('/x', 'nonsense'), world.principal.headers, 404],
      ['/nowhere', world.principal.headers, 404],
    ] as const
    for (const [path, headers, status] of cases) {
      const { socket, text } = upgrade(path, headers)
      await once(socket, 'close')
      expect(text()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
      expect(text().toLowerCase()).toContain('connection: close')
      expect(text()).toContain(`"statusCode":${status}`)
    }
  })

  it('is ignored by routes that know of none', async () => {
    const { socket, text } = upgrade('/sandbox', { ...world.principal.headers, upgrade: 'h2c' })
    await once(socket, 'close')
    expect(text()).toMatch(/^HTTP\/1\.1 200 /)
  })

  it('of a broken link ends the client too', async () => {
    const fragile = await world.create()
    world.runner.script = (exchange) => {
      exchange.handlers = ignore
      exchange.respond({ status: 101, headers: {} })
    }
    const { socket, text } = upgrade(target('/x', fragile.id), world.principal.headers)
    await until('it is upgraded', () => text().includes('\r\n\r\n'))
    world.runner.get(fragile.id).toolbox?.close()
    await once(socket, 'close')
  })
})

describe('a hostile toolbox', () => {
  it('loses its own link by sending nonsense, and nobody else notices', async () => {
    const hostile = await world.create()
    const { token, toolbox } = world.runner.get(hostile.id)
    const ws = new WebSocket(world.url.replace('http', 'ws') + TOOLBOX_TUNNEL_PATH, {
      headers: { authorization: `Bearer ${token}` },
    })
    ws.on('error', () => undefined)
    await once(ws, 'open')
    for (let i = 0; i < 20; i++) ws.send(Buffer.from(Array.from({ length: 64 }, (_, at) => (at * 7 + i) % 256)))
    await once(ws, 'close')
    expect((await world.call('GET', target('/x'))).status).toBe(200)
    expect((await world.call('GET', target('/x', hostile.id))).status).toBe(200)
    toolbox?.close()
  })

  it('cannot call the API through its tunnel', async () => {
    const curious = await world.create()
    const refused = new Promise<string>((resolve) => {
      const stream = world.runner
        .get(curious.id)
        .toolbox?.request(
          { method: 'GET', path: '/api/sandbox', headers: {} },
          { ...ignore, onResponse: () => resolve('answered'), onReset: (error) => resolve(error.code) },
        )
      stream?.end()
    })
    expect(await refused).toBe('HANDLER_FAILED')
  })
})
