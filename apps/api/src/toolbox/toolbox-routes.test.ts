import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { buffer } from 'node:stream/consumers'
import type { ErrorBody, Sandbox } from '@atoll/protocol'
import { toolboxOperations } from '@atoll/protocol'
import type { IncomingExchange } from '@atoll/tunnel'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { connect as connectDatabase } from '../database/database.ts'
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

/** Opens a raw HTTP call; the test writes its body and reads its answer. */
function open(method: string, path: string, headers: Record<string, string> = {}) {
  const call = request(`${world.url}/api${target(path)}`, {
    method,
    headers: { ...world.principal.headers, ...headers },
  })
  call.on('error', () => undefined)
  return call
}

describe('a toolbox call', () => {
  it('reaches the toolbox with its method, path, query and body as they were sent', async () => {
    const path = '/files/a%2Fb/a%20b//c?path=%2Ftmp%2F%C3%A9&x=1&x=2'
    const { status, body } = await world.call('PUT', target(path), { body: { command: 'ls' } })
    expect(status).toBe(200)
    expect(body).toMatchObject({ sandboxId: sandbox.id, method: 'PUT', path, body: '{"command":"ls"}' })
  })

  it('reaches it by the proxy path of newer SDKs too, however that is written', async () => {
    for (const prefix of ['/toolbox-proxy', '/%74oolbox-proxy']) {
      const { body } = await world.call('DELETE', `${prefix}/${sandbox.id}/files/a%2Fb?path=x`)
      expect(body).toMatchObject({ sandboxId: sandbox.id, method: 'DELETE', path: '/files/a%2Fb?path=x' })
    }
  })

  it.each(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'])('passes %s on, also on documented paths', async (method) => {
    const { body } = await world.call(method, target('/files/info'))
    expect(body).toMatchObject({ method, path: '/files/info' })
  })

  it('keeps credentials from the sandbox', async () => {
    const headers = {
      ...world.principal.headers,
      cookie: 'a=b',
      'x-daytona-organization-id': 'x',
      'x-daytona-sdk-version': '0.23.1',
    }
    const response = await fetch(`${world.url}/api${target('/x')}`, { headers })
    const { headers: seen } = (await response.json()) as { headers: Record<string, string> }
    expect(seen).not.toHaveProperty('authorization')
    expect(seen).not.toHaveProperty('cookie')
    expect(seen).not.toHaveProperty('x-daytona-organization-id')
    expect(seen).toMatchObject({ 'x-daytona-sdk-version': '0.23.1', 'x-request-id': expect.any(String) })
  })

  it('brings no header back that would speak for the API', async () => {
    world.runner.script = (exchange) => {
      exchange.respond({
        status: 418,
        headers: {
          'content-type': 'text/html',
          'set-cookie': ['session=stolen', 'b=c'],
          'access-control-allow-origin': 'https://evil.example',
          location: 'https://evil.example',
          'www-authenticate': 'Basic',
          'alt-svc': 'h3=":443"',
          'service-worker-allowed': '/',
          'x-request-id': 'forged',
        },
      })
      exchange.end(Buffer.from('<script>'))
    }
    const response = await fetch(`${world.url}/api${target('/x')}`, {
      headers: { ...world.principal.headers, origin: 'https://app.example' },
      redirect: 'manual',
    })
    expect([response.status, await response.text()]).toEqual([418, '<script>'])
    expect(response.headers.getSetCookie()).toEqual([])
    for (const name of ['location', 'www-authenticate', 'alt-svc', 'service-worker-allowed']) {
      expect(response.headers.get(name)).toBeNull()
    }
    expect(response.headers.get('access-control-allow-origin')).toBe('https://app.example')
    expect(response.headers.get('content-security-policy')).toContain('sandbox')
    expect(response.headers.get('x-content-type-options')).toBe('nosniff')
    expect(response.headers.get('x-request-id')).not.toBe('forged')
  })

  it('needs no database once the sandbox and the key are known', async () => {
    expect((await world.call('GET', target('/warm'))).status).toBe(200)
    const other = connectDatabase(world.api.database.address, { max: 1 })
    await other.begin(async (tx) => {
      await tx`lock table sandboxes, api_keys, organizations, users in access exclusive mode`
      expect((await world.call('GET', target('/warm'))).status).toBe(200)
    })
    await other.end()
  })

  it('counts as activity', async () => {
    const { sql } = world.api.database
    await sql`update sandboxes set last_activity_at = '2020-01-01' where id = ${sandbox.id}`
    await world.call('GET', target('/x'))
    await until('activity is written', async () => {
      const rows = await sql`select 1 from sandboxes where id = ${sandbox.id} and last_activity_at > '2021-01-01'`
      return rows.length === 1
    })
  })

  it('finds the sandbox whatever the case of its id', async () => {
    expect((await world.call('GET', target('/x', sandbox.id.toUpperCase()))).status).toBe(200)
  })

  it('is shown in the OpenAPI page for each operation of the contract', async () => {
    const { body } = await world.call('GET', '/docs/json')
    const { paths } = body as { paths: Record<string, Record<string, unknown>> }
    for (const operation of Object.values(toolboxOperations)) {
      expect(paths[`/api/toolbox/{sandboxId}/toolbox${operation.path}`]).toHaveProperty(operation.method.toLowerCase())
    }
  })
})

describe('a toolbox call is refused', () => {
  it('401 without a key and 403 without the permission', async () => {
    expect((await fetch(`${world.url}/api${target('/x')}`)).status).toBe(401)
    const reader = await world.createPrincipal({ permissions: ['delete:sandboxes'] })
    expect((await world.call('GET', target('/x'), { as: reader })).status).toBe(403)
  })

  it('404 for an unknown id and for one of another organization, in the same words', async () => {
    const stranger = await world.createPrincipal()
    const foreign = await world.call('GET', target('/x'), { as: stranger })
    const unknown = await world.call('GET', target('/x', 'b1c1b8a6-0000-4000-8000-000000000000'), { as: stranger })
    const noId = await world.call('GET', target('/x', 'nonsense'), { as: stranger })
    expect([foreign.status, unknown.status, noId.status]).toEqual([404, 404, 404])
    expect((foreign.body as ErrorBody).message).toBe(`Sandbox with ID ${sandbox.id} not found`)
    expect((unknown.body as ErrorBody).message).toMatch(/^Sandbox with ID b1c1b8a6\S+ not found$/)
  })

  it('400 when the sandbox is stopped, from the moment the stop is asked for', async () => {
    const stopping = await world.create()
    await world.call('GET', target('/warm', stopping.id))
    const hold = world.runner.hold('stop')
    await world.call('POST', `/sandbox/${stopping.id}/stop`)
    await hold.reached
    const { status, body } = await world.call('GET', target('/x', stopping.id))
    expect([status, (body as ErrorBody).message]).toEqual([400, 'Sandbox is not running'])
    hold.release()
  })

  it('502 when the toolbox is not connected, until it is again', async () => {
    const lonely = await world.create()
    const { toolbox } = world.runner.get(lonely.id)
    toolbox?.close()
    await until('the link is over', async () => (await world.call('GET', target('/x', lonely.id))).status === 502)
    const { body } = await world.call('GET', target('/x', lonely.id))
    expect(body).toMatchObject({ statusCode: 502, code: 'TOOLBOX_UNREACHABLE' })
    await world.runner.dial(lonely.id)
    await until('the link is back', async () => (await world.call('GET', target('/x', lonely.id))).status === 200)
  })
})

describe('a toolbox call that breaks', () => {
  it('answers 502 at once when the link ends before the response', async () => {
    const fragile = await world.create()
    world.runner.script = () => world.runner.get(fragile.id).toolbox?.close()
    const { status, body, headers } = await world.call('POST', target('/x', fragile.id), { body: {} })
    expect(status).toBe(502)
    expect(body).toMatchObject({ code: 'TOOLBOX_DISCONNECTED', source: 'DAYTONA_PROXY', statusCode: 502 })
    expect(headers.get('x-request-id')).toBe((body as ErrorBody).requestId)
  })

  it('cuts the client off when the link ends within the response', async () => {
    const fragile = await world.create()
    world.runner.script = (exchange) => {
      exchange.handlers = ignore
      exchange.respond({ status: 200, headers: {} })
      exchange.write(Buffer.from('half'))
      setImmediate(() => world.runner.get(fragile.id).toolbox?.close())
    }
    const response = await fetch(`${world.url}/api${target('/x', fragile.id)}`, { headers: world.principal.headers })
    await expect(response.text()).rejects.toThrow()
  })

  it('is cancelled in the sandbox when the client goes away', async () => {
    const cancelled = new Promise<string>((resolve) => {
      world.runner.script = (exchange) => {
        exchange.handlers = { ...ignore, onReset: (error) => resolve(error.code) }
        exchange.respond({ status: 200, headers: {} })
        exchange.write(Buffer.from('begun'))
      }
    })
    const call = open('GET', '/x')
    call.end()
    await once(call, 'response')
    call.destroy()
    expect(await cancelled).toBe('CANCELLED')
  })

  it('is answered 502 when the handler gives none', async () => {
    world.runner.script = (exchange) => exchange.reset('HANDLER_FAILED')
    const { status, body } = await world.call('GET', target('/x'))
    expect([status, (body as ErrorBody).code]).toEqual([502, 'BAD_GATEWAY'])
  })
})

describe('backpressure', () => {
  const MAX_HELD_BYTES = 16 * 1024 * 1024
  const chunk = Buffer.alloc(16 * 1024, 1)

  /** Waits until a number has not changed for several checks. */
  async function untilStill(read: () => number): Promise<void> {
    let before = -1
    let looks = 0
    await until('nothing moves any more', () => {
      looks = read() === before ? looks + 1 : 0
      before = read()
      return before > 0 && looks >= 10
    })
  }

  it('holds a toolbox back whose client does not read, and brings everything once it does', async () => {
    const totalBytes = 64 * 1024 * 1024
    let sent = 0
    let exchangeOpen: IncomingExchange | undefined
    const pump = () => {
      while (sent < totalBytes) {
        sent += chunk.length
        if (exchangeOpen?.write(chunk) === false) return
      }
      exchangeOpen?.end()
    }
    world.runner.script = (exchange) => {
      exchangeOpen = exchange
      exchange.handlers = { ...ignore, onDrain: pump }
      exchange.respond({ status: 200, headers: {} })
      pump()
    }
    const call = open('GET', '/download')
    call.end()
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    await untilStill(() => sent)
    expect(sent).toBeLessThan(MAX_HELD_BYTES)
    let received = 0
    for await (const piece of response) received += (piece as Buffer).length
    expect(received).toBe(totalBytes)
  })

  it('holds a client back whose toolbox does not read', async () => {
    let resume: () => void = () => undefined
    world.runner.script = (exchange) => {
      let bytes = 0
      exchange.pause()
      resume = () => exchange.resume()
      exchange.handlers = {
        ...ignore,
        onData: (piece) => {
          bytes += piece.length
        },
        onEnd: () => {
          exchange.respond({ status: 200, headers: {} })
          exchange.end(Buffer.from(String(bytes)))
        },
      }
    }
    const totalBytes = 64 * 1024 * 1024
    const call = open('POST', '/upload', { 'content-length': String(totalBytes) })
    let written = 0
    const pump = () => {
      while (written < totalBytes) {
        written += chunk.length
        if (!call.write(chunk)) return
      }
      call.end()
    }
    call.on('drain', pump)
    pump()
    await untilStill(() => written)
    expect(written).toBeLessThan(MAX_HELD_BYTES)
    resume()
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    expect((await buffer(response)).toString()).toBe(String(totalBytes))
  })
})
