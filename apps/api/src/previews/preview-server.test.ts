import { once } from 'node:events'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { request } from 'node:http'
import { connect } from 'node:net'
import { text as readText } from 'node:stream/consumers'
import type { Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { describeCall } from '../testing/scripted-toolbox.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
let sandbox: Sandbox
let token: string

beforeAll(async () => {
  world = await createSandboxWorld()
  sandbox = await world.create()
  token = await tokenOf(sandbox.id)
})
afterAll(() => world[Symbol.asyncDispose]())
beforeEach(() => {
  world.runner.script = describeCall
})

async function tokenOf(id: string): Promise<string> {
  const { body } = await world.call('GET', `/sandbox/${id}/ports/3000/preview-url`)
  return (body as { token: string }).token
}

interface Asked {
  method?: string
  path?: string
  host?: string
  headers?: Record<string, string>
  body?: string
}

/** Calls the port with the name in `Host`, so that no resolver needs to know the name. */
async function ask({ method = 'GET', path = '/', host = hostOf(3000), headers = {}, body }: Asked) {
  const port = Number(new URL(world.url).port)
  const call = request({ host: '127.0.0.1', port, method, path, headers: { host, ...headers } })
  call.end(body)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const text = await readText(response)
  return { status: response.statusCode, headers: response.headers, text, json: () => JSON.parse(text) }
}

function hostOf(port: number, name = sandbox.id): string {
  return `${port}-${name}.localhost:${new URL(world.url).port}`
}

const withToken = () => ({ 'x-daytona-preview-token': token })

describe('a request to a preview', () => {
  it.each(['GET', 'POST', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY'])(
    'reaches the port with %s, its path, query and body as they came',
    async (method) => {
      const path = '/a%2Fb/%zz//c?x=1&x=%20'
      const headers = { ...withToken(), 'content-type': 'application/json', 'content-length': '5' }
      const answer = await ask({ method, path, headers, body: '{"no:' })
      expect(answer.status).toBe(200)
      expect(answer.json()).toMatchObject({ method, path: `/proxy/3000${path}`, sandboxId: sandbox.id, body: '{"no:' })
    },
  )

  it('tells the program how it was addressed, and nothing a client says of that', async () => {
    const forged = {
      'x-forwarded-host': 'evil',
      'x-forwarded-for': '6.6.6.6',
      'x-forwarded-proto': 'https',
      forwarded: 'for=6',
    }
    const { json } = await ask({ headers: { ...withToken(), ...forged } })
    const headers: IncomingHttpHeaders = json().headers
    expect(headers).toMatchObject({
      ...{ 'x-forwarded-host': hostOf(3000), 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'http' },
    })
    expect(headers).not.toHaveProperty('forwarded')
  })

  it('brings the program its own credentials, and none of Atoll', async () => {
    const cookie = `a=1; daytona-sandbox-auth-${sandbox.id}=${token}; b=2; daytona-sandbox-auth-x=y`
    const referer = `http://${hostOf(3000)}/?DAYTONA_SANDBOX_AUTH_KEY=${token}&z=1`
    const own = await ask({ headers: { ...withToken(), cookie, referer, authorization: 'Basic dXNlcjpwYXNz' } })
    expect(own.json().headers).toMatchObject({
      ...{ cookie: 'a=1; b=2', authorization: 'Basic dXNlcjpwYXNz', referer: `http://${hostOf(3000)}/?z=1` },
    })
    const atoll = await ask({
      path: `/p?DAYTONA_SANDBOX_AUTH_KEY=${token}&q=1`,
      headers: { ...world.principal.headers, 'x-daytona-organization-id': 'o' },
    })
    expect(atoll.text).not.toContain(token)
    expect(atoll.text).not.toContain(world.principal.apiKey)
    expect(atoll.json().path).toBe('/proxy/3000/p?q=1')
  })

  it('reaches the toolbox itself as port 2280', async () => {
    const { json } = await ask({ host: hostOf(2280), path: '/process/session', headers: withToken() })
    expect(json().path).toBe('/process/session')
  })

  it('counts as activity', async () => {
    const before = (await world.get(sandbox.id)).lastActivityAt ?? ''
    await ask({ headers: withToken() })
    await until('it is noted', async () => ((await world.get(sandbox.id)).lastActivityAt ?? '') > before)
  })

  it('streams both ways, and an upgrade joins the raw streams', async () => {
    world.runner.script = (exchange) => {
      exchange.handlers = {
        onData: (piece) => exchange.write(Buffer.from(piece.toString().toUpperCase())),
        onEnd: () => exchange.end(),
        onReset: () => undefined,
      }
      exchange.respond({ status: exchange.head.headers['upgrade'] ? 101 : 200, headers: { upgrade: 'echo' } })
    }
    const port = Number(new URL(world.url).port)
    const call = request({ host: '127.0.0.1', port, method: 'POST', headers: { host: hostOf(3000), ...withToken() } })
    call.write('first')
    const [response] = (await once(call, 'response')) as [IncomingMessage]
    expect(String((await once(response, 'data'))[0])).toBe('FIRST')
    call.end('last')
    expect(await readText(response)).toBe('LAST')

    const socket = connect(port, '127.0.0.1').setEncoding('latin1')
    let received = ''
    socket.on('data', (piece) => {
      received += piece
    })
    const head = [
      `GET /?DAYTONA_SANDBOX_AUTH_KEY=${token} HTTP/1.1`,
      `host: ${hostOf(3000)}`,
      'connection: upgrade',
      'upgrade: echo',
    ]
    socket.write([...head, '', ''].join('\r\n'))
    await until('it is upgraded', () => received.startsWith('HTTP/1.1 101 ') && received.includes('\r\n\r\n'))
    socket.write('raw')
    await until('it echoes', () => received.endsWith('RAW'))
    socket.end()
    await once(socket, 'close')
  })
})

describe('what a program answers', () => {
  it('sets cookies for its own host only, and never ours', async () => {
    world.runner.script = (exchange) => {
      exchange.respond({
        status: 302,
        headers: {
          'set-cookie': ['a=1; Domain=localhost; Path=/', `daytona-sandbox-auth-${sandbox.id}=x`],
          location: 'http://localhost:3000/next?a=1',
        },
      })
      exchange.handlers = { onData: () => undefined, onEnd: () => exchange.end(), onReset: () => undefined }
    }
    const { headers } = await ask({ headers: withToken() })
    expect(headers['set-cookie']).toEqual(['a=1; Path=/'])
    expect(headers.location).toBe(`http://${hostOf(3000)}/next?a=1`)
  })
})

describe('a private preview', () => {
  it('is opened by a query, which sets a cookie that opens it from then on', async () => {
    const first = await ask({ path: `/?DAYTONA_SANDBOX_AUTH_KEY=${token}` })
    const cookie = `daytona-sandbox-auth-${sandbox.id}=${token}`
    expect([first.status, first.headers['set-cookie']]).toEqual([200, [`${cookie}; Path=/; HttpOnly; SameSite=Lax`]])
    // Another host below the domain may have set a cookie of the same name.
    expect((await ask({ headers: { cookie: `daytona-sandbox-auth-${sandbox.id}=wrong; ${cookie}` } })).status).toBe(200)
  })

  it('sends a browser that loads it with a token on to an address without one', async () => {
    const path = `//evil.example/x?a=1&DAYTONA_SANDBOX_AUTH_KEY=${token}`
    const { status, headers } = await ask({ path, headers: { 'sec-fetch-dest': 'document' } })
    expect([status, headers.location]).toEqual([302, '/evil.example/x?a=1'])
    expect(headers['set-cookie']?.[0]).toContain(token)
  })

  it.each([
    ['nothing', {}],
    ['a wrong header', { 'x-daytona-preview-token': 'wrong' }],
    ['a wrong cookie', { cookie: `daytona-sandbox-auth-ID=wrong` }],
    ['a key of the API', { authorization: 'KEY' }],
  ])('refuses %s', async (_what, headers: Record<string, string>) => {
    const filled = Object.entries(headers).map(([name, value]) => [
      name,
      value.replace('ID', sandbox.id).replace('KEY', world.principal.headers.authorization),
    ])
    const { status, text, headers: answered } = await ask({ headers: Object.fromEntries(filled) })
    expect([status, answered['content-type']]).toEqual([401, 'text/html; charset=utf-8'])
    expect(text).toContain('<!doctype html>')
  })

  it('refuses the token of another sandbox, and of an earlier start', async () => {
    const other = await world.create()
    expect((await ask({ headers: { 'x-daytona-preview-token': await tokenOf(other.id) } })).status).toBe(401)
    const before = await tokenOf(other.id)
    const host = hostOf(3000, other.id)
    expect((await ask({ host, headers: { 'x-daytona-preview-token': before } })).status).toBe(200)
    await world.call('POST', `/sandbox/${other.id}/stop`)
    await world.untilState(other.id, 'stopped')
    const stopped = await ask({ host, headers: { 'x-daytona-preview-token': await tokenOf(other.id) } })
    expect([stopped.status, stopped.text]).toEqual([503, expect.stringContaining('not running')])
    await world.call('POST', `/sandbox/${other.id}/start`)
    expect((await ask({ host, headers: { 'x-daytona-preview-token': before } })).status).toBe(401)
  })

  it('needs no token when it is public, save for the terminal and the toolbox', async () => {
    const open = await world.create({ public: true })
    expect((await ask({ host: hostOf(3000, open.id) })).status).toBe(200)
    expect((await ask({ host: hostOf(22222, open.id) })).status).toBe(401)
    expect((await ask({ host: hostOf(2280, open.id) })).status).toBe(401)
    const headers = { 'x-daytona-preview-token': await tokenOf(open.id) }
    expect((await ask({ host: hostOf(22222, open.id), headers })).status).toBe(200)
  })
})

describe('a preview that becomes private', () => {
  it.each(['sandbox', 'workspace'])(
    'is refused right after /%s/{id}/public/false, and open after true',
    async (kind) => {
      const { id } = await world.create({ public: true })
      const host = hostOf(3000, id)
      for (const [isPublic, status] of [
        [true, 200],
        [false, 401],
        [true, 200],
        [false, 401],
      ] as const) {
        await world.call('POST', `/${kind}/${id}/public/${isPublic}`)
        expect((await ask({ host })).status).toBe(status)
      }
    },
  )
})

describe('what cannot be shown', () => {
  it('is a page, or JSON for a client that prefers it', async () => {
    const host = hostOf(3000, '00000000-0000-4000-8000-000000000000')
    const page = await ask({ host, headers: { accept: 'text/html,application/xhtml+xml,*/*;q=0.8' } })
    expect([page.status, page.headers['content-type']]).toEqual([404, 'text/html; charset=utf-8'])
    const data = await ask({ host, headers: { accept: 'application/json, text/plain, */*' } })
    expect([data.status, data.json()]).toEqual([
      404,
      expect.objectContaining({ statusCode: 404, code: 'SANDBOX_NOT_FOUND', source: 'DAYTONA_PROXY', path: '/' }),
    ])
  })

  it('is a port on which nothing listens', async () => {
    world.runner.script = (exchange) => {
      exchange.respond({ status: 502, headers: { 'x-atoll-toolbox-refusal': 'PORT_UNREACHABLE' } })
      exchange.handlers = {
        onData: () => undefined,
        onEnd: () => exchange.end(Buffer.from('{}')),
        onReset: () => undefined,
      }
    }
    const { status, text } = await ask({ headers: withToken() })
    expect([status, text]).toEqual([502, expect.stringContaining('Nothing listens on port 3000')])
  })

  it('is an answer that breaks off', async () => {
    world.runner.script = (exchange) => {
      exchange.handlers = {
        onData: () => undefined,
        onEnd: () => exchange.reset('CANCELLED'),
        onReset: () => undefined,
      }
    }
    expect((await ask({ headers: withToken() })).status).toBe(502)
  })
})

describe('the two origins', () => {
  it.each(['/api/health', '/api/config', '/metrics', '/api/docs', '/api/sandbox'])(
    'are apart: %s is not served where previews are',
    async (path) => {
      const headers = { ...world.principal.headers, origin: 'http://evil.example' }
      for (const host of ['api.localhost', hostOf(3000)]) {
        const answer = await ask({ host, path, headers })
        expect([404, 401]).toContain(answer.status)
        expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
      }
    },
  )

  it('are apart for tunnels too', async () => {
    const headers = { connection: 'upgrade', upgrade: 'websocket', authorization: `Bearer ${world.runnerToken}` }
    const answer = await ask({ path: '/api/tunnels/runner', headers })
    expect(answer.status).toBe(401)
  })

  it('take no URL that names a host of its own', async () => {
    const answer = await ask({ path: `${world.url}/api/health`, headers: withToken() })
    expect(answer.status).toBe(400)
  })
})
