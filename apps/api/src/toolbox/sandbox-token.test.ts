import type { PortPreviewUrl, Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect as connectDatabase } from '../database/database.ts'
import { createLogLines } from '../testing/log-lines.ts'
import { openSocket, readAnswer } from '../testing/raw-http.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'
import { withoutSandboxToken } from './sandbox-token.ts'

const logged = createLogLines()
let world: SandboxWorld
let sandbox: Sandbox

beforeAll(async () => {
  world = await createSandboxWorld({ log: logged.log })
  sandbox = await world.create()
  // Answers the upgrade with a plain response that holds the request's head.
  world.runner.script = (exchange) => {
    exchange.handlers = { onData: () => undefined, onEnd: () => undefined, onReset: () => undefined }
    exchange.respond({ status: 200, headers: { 'content-type': 'application/json' } })
    exchange.end(Buffer.from(JSON.stringify(exchange.head)))
  }
})
afterAll(() => world[Symbol.asyncDispose]())

async function tokenOf(id: string): Promise<string> {
  return ((await world.call('GET', `/sandbox/${id}/ports/2280/preview-url`)).body as PortPreviewUrl).token
}

/** Asks to upgrade and reads the plain answer. */
async function ask(path: string, headers: Record<string, string> = {}) {
  const socket = await openSocket(Number(new URL(world.url).port))
  const lines = Object.entries({ host: 'x', connection: 'Upgrade', upgrade: 'WebSocket', ...headers })
  const head = [`GET /api${path} HTTP/1.1`, ...lines.map(([name, value]) => `${name}: ${value}`), '', ''].join('\r\n')
  socket.write(head)
  const { status, body } = await readAnswer(socket)
  return { status, body: JSON.parse(body) as Record<string, unknown> }
}

describe('a WebSocket that brings the token of its sandbox', () => {
  it('reaches the toolbox by both paths, without the token', async () => {
    const token = await tokenOf(sandbox.id)
    for (const prefix of [`/toolbox-proxy/${sandbox.id}`, `/toolbox/${sandbox.id}/toolbox`]) {
      const path = '/process/pty/1/connect'
      const given = `${prefix}${path}?cols=80&DAYTONA_SANDBOX_AUTH_KEY=${token}&x=%20+1`
      const { status, body } = await ask(given)
      expect({ status, path: body['path'] }).toEqual({ status: 200, path: `${path}?cols=80&x=%20+1` })
      expect(JSON.stringify(body)).not.toContain(token)
    }
  })

  it('needs no database once the sandbox is known', async () => {
    const path = `/toolbox-proxy/${sandbox.id}/x?DAYTONA_SANDBOX_AUTH_KEY=${await tokenOf(sandbox.id)}`
    expect((await ask(path)).status).toBe(200)
    const other = connectDatabase(world.api.database.address, { max: 1 })
    await other.begin(async (tx) => {
      await tx`lock table sandboxes in access exclusive mode`
      expect((await ask(path)).status).toBe(200)
    })
    await other.end()
  })

  it('counts as activity', async () => {
    const { id, lastActivityAt = '' } = await world.create()
    await ask(`/toolbox-proxy/${id}/x?DAYTONA_SANDBOX_AUTH_KEY=${await tokenOf(id)}`)
    await until('it is written', async () => {
      return Date.parse((await world.get(id)).lastActivityAt ?? '') > Date.parse(lastActivityAt)
    })
  })

  it('is shut out once the sandbox was started anew', async () => {
    const { id } = await world.create()
    const old = await tokenOf(id)
    const path = (token: string) => `/toolbox-proxy/${id}/x?DAYTONA_SANDBOX_AUTH_KEY=${token}`
    expect((await ask(path(old))).status).toBe(200)
    await world.call('POST', `/sandbox/${id}/stop`)
    await world.untilState(id, 'stopped')
    expect(await ask(path(old))).toMatchObject({ status: 400, body: { code: 'SANDBOX_NOT_RUNNING' } })
    await world.call('POST', `/sandbox/${id}/start`)
    const token = await tokenOf(id)
    expect(token).not.toBe(old)
    expect((await ask(path(old))).status).toBe(401)
    expect((await ask(path(token))).status).toBe(200)
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
    expect((await ask(path(token))).status).toBe(401)
    expect((await world.call('GET', `/sandbox/${id}/ports/1/preview-url`)).status).toBe(404)
  })
})

describe('a token', () => {
  it.each([
    ['a wrong one', (token: string) => token.replace(/./, (first) => (first === '0' ? '1' : '0'))],
    ['a shorter one', (token: string) => token.slice(1)],
    ['a longer one', (token: string) => `${token}0`],
    ['an empty one', () => ''],
    ['one of other letters', () => 'ü'.repeat(32)],
  ])('that is %s is refused', async (_what, change) => {
    const token = encodeURIComponent(change(await tokenOf(sandbox.id)))
    const answer = await ask(`/toolbox-proxy/${sandbox.id}/x?DAYTONA_SANDBOX_AUTH_KEY=${token}`)
    expect(answer).toMatchObject({ status: 401, body: { statusCode: 401, code: 'UNAUTHORIZED' } })
  })

  it('opens its own sandbox only', async () => {
    const other = await world.create()
    const token = await tokenOf(other.id)
    for (const id of [sandbox.id, '9c5e0f0e-0000-4000-8000-000000000000', 'name', '%00']) {
      expect((await ask(`/toolbox-proxy/${id}/x?DAYTONA_SANDBOX_AUTH_KEY=${token}`)).status).toBe(401)
    }
  })

  it('opens nothing but WebSockets', async () => {
    const query = `DAYTONA_SANDBOX_AUTH_KEY=${await tokenOf(sandbox.id)}`
    const path = `/toolbox-proxy/${sandbox.id}/x?${query}`
    expect((await fetch(`${world.url}/api${path}`)).status).toBe(401)
    expect((await ask(path, { upgrade: 'h2c' })).status).toBe(401)
    expect((await ask(path, { authorization: 'Bearer wrong' })).status).toBe(401)
    expect((await ask(`/sandbox/${sandbox.id}?${query}`)).status).toBe(401)
    expect((await ask(`/sandbox?${query}`)).status).toBe(401)
  })
})

it('no token is in any line of the log', async () => {
  const fresh = await world.create()
  const token = await tokenOf(fresh.id)
  const path = (given: string) => `/toolbox-proxy/${fresh.id}/x?DAYTONA_SANDBOX_AUTH_KEY=${given}`
  expect((await ask(path(token))).status).toBe(200)
  expect((await ask(`${path(token)}0`)).status).toBe(401)
  // A failed call is always logged, with its path.
  world.runner.get(fresh.id).toolbox?.close()
  await until('it is unreachable', async () => (await ask(path(token))).status === 502)
  expect(logged.text()).toContain('/x')
  expect(logged.text()).not.toContain(token)
})

it.each([
  ['/x', '/x'],
  ['/x?', '/x?'],
  ['/x?a=1&&b', '/x?a=1&&b'],
  ['/x?DAYTONA_SANDBOX_AUTH_KEY=t', '/x'],
  ['/x?DAYTONA_SANDBOX_AUTH_KEY', '/x'],
  ['/x?a=%2F+&DAYTONA_SANDBOX_AUTH_KEY=t&b=%', '/x?a=%2F+&b=%'],
  ['/x?DAYTONA_SANDBOX_AUTH_KEY=t&a=1&DAYTONA_SANDBOX_AUTH_KEY=u', '/x?a=1'],
  ['/x?%44AYTONA_SANDBOX_AUTH_KEY=t', '/x'],
  ['/x?MY_DAYTONA_SANDBOX_AUTH_KEY=t', '/x?MY_DAYTONA_SANDBOX_AUTH_KEY=t'],
])('%s is passed on as %s', (target, passedOn) => {
  expect(withoutSandboxToken(target)).toBe(passedOn)
})
