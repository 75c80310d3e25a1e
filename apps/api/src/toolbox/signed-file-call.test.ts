import { createHmac } from 'node:crypto'
import type { Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect as connectDatabase } from '../database/database.ts'
import { createLogLines } from '../testing/log-lines.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { describeCall } from '../testing/scripted-toolbox.ts'
import { until } from '../testing/until.ts'

const PATH = '/home/daytona/a ü+&?.bin'
const logged = createLogLines()
let world: SandboxWorld
let sandbox: Sandbox

beforeAll(async () => {
  world = await createSandboxWorld({ log: logged.log })
  world.runner.script = describeCall
  sandbox = await world.create()
})
afterAll(() => world[Symbol.asyncDispose]())

async function keyOf(id: string): Promise<string> {
  const { status, body } = await world.call('GET', `/sandbox/${id}/signing-key`)
  expect({ status, body }).toEqual({ status: 200, body: expect.stringMatching(/^[0-9a-f]{64}$/) })
  return String(body)
}

interface Signed {
  key: string
  method?: string
  path?: string
  expires?: string | number
}

/** Makes the query as SDK 0.218 does. */
function sign({ key, method = 'GET', path = PATH, expires = inSeconds(60) }: Signed): URLSearchParams {
  const digest = createHmac('sha256', key).update(`v1:files:${method}:${path}:${expires}`).digest('base64url')
  return new URLSearchParams({ path, expires: String(expires), signature: `v1_${digest}` })
}

function inSeconds(seconds: number): number {
  return Math.floor(Date.now() / 1000) + seconds
}

/** Calls without any credential. */
async function ask(method: string, path: string, headers: Record<string, string> = {}) {
  const answer = await fetch(`${world.url}/api${path}`, {
    method,
    headers,
    ...(method === 'POST' ? { body: 'x' } : {}),
  })
  const text = await answer.text()
  return { status: answer.status, body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown> }
}

const download = (query: URLSearchParams | string, id = sandbox.id) =>
  ask('GET', `/toolbox-proxy/${id}/files/download?${query}`)

describe('a signed URL', () => {
  it('downloads without a bearer, and only its path is passed on', async () => {
    const query = sign({ key: await keyOf(sandbox.id) })
    for (const root of [`/toolbox-proxy/${sandbox.id}`, `/toolbox/${sandbox.id}/toolbox`]) {
      const { status, body } = await ask('GET', `${root}/files/download?${query}&other=1`)
      expect(status).toBe(200)
      expect(body['path']).toBe(`/files/download?path=${encodeURIComponent(PATH)}`)
      expect(JSON.stringify(body)).not.toContain(query.get('signature'))
    }
  })

  it('uploads without a bearer', async () => {
    const query = sign({ key: await keyOf(sandbox.id), method: 'POST' })
    const { status, body } = await ask('POST', `/toolbox-proxy/${sandbox.id}/files/upload-v2?${query}`)
    expect({ status, body }).toMatchObject({ status: 200, body: { method: 'POST', body: 'x' } })
  })

  it('holds for good when it expires at 0', async () => {
    expect((await download(sign({ key: await keyOf(sandbox.id), expires: 0 }))).status).toBe(200)
  })

  it('needs no database once the sandbox is known', async () => {
    const query = sign({ key: await keyOf(sandbox.id) })
    expect((await download(query)).status).toBe(200)
    const other = connectDatabase(world.api.database.address, { max: 1 })
    await other.begin(async (tx) => {
      await tx`lock table sandboxes in access exclusive mode`
      expect((await download(query)).status).toBe(200)
    })
    await other.end()
  })

  it('holds across a stop and a start, and reaches nothing in between or after the deletion', async () => {
    const { id } = await world.create()
    const key = await keyOf(id)
    await world.call('POST', `/sandbox/${id}/stop`)
    await world.untilState(id, 'stopped')
    expect(await download(sign({ key }), id)).toMatchObject({ status: 400, body: { code: 'SANDBOX_NOT_RUNNING' } })
    await world.call('POST', `/sandbox/${id}/start`)
    expect((await download(sign({ key }), id)).status).toBe(200)
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
    expect((await download(sign({ key }), id)).status).toBe(401)
    expect((await world.call('GET', `/sandbox/${id}/signing-key`)).status).toBe(404)
    expect((await world.call('POST', `/sandbox/${id}/signing-key/rotate`)).status).toBe(404)
  })

  it('is refused at once when the key is rotated', async () => {
    const { id } = await world.create()
    const old = await keyOf(id)
    expect((await download(sign({ key: old }), id)).status).toBe(200)
    const { status, body } = await world.call('POST', `/sandbox/${id}/signing-key/rotate`)
    expect(status).toBe(200)
    expect(body).not.toBe(old)
    expect(await keyOf(id)).toBe(body)
    expect((await download(sign({ key: old }), id)).status).toBe(401)
    expect((await download(sign({ key: String(body) }), id)).status).toBe(200)
  })
})

describe('refused is', () => {
  it.each<[string, (key: string) => URLSearchParams | string]>([
    ['another key', (key) => sign({ key: `${key}0` })],
    ['another method', (key) => sign({ key, method: 'POST' })],
    ['what has expired', (key) => sign({ key, expires: inSeconds(-1) })],
    ['an expiry before zero', (key) => sign({ key, expires: -1 })],
    ['an expiry that is no whole number', (key) => sign({ key, expires: '1e12' })],
    ['an expiry beyond bounds', (key) => sign({ key, expires: '9'.repeat(13) })],
    ['another expiry than the signed', (key) => replace(sign({ key }), 'expires', String(inSeconds(120)))],
    ['another path than the signed', (key) => replace(sign({ key }), 'path', '/etc/passwd')],
    ['a second path', (key) => `${sign({ key })}&path=%2Fetc%2Fpasswd`],
    [
      'bytes that are not the signed ones',
      (key) => `${sign({ key, path: '\ufffd' })}`.replace('%EF%BF%BD', '%EF%BF%BDa'),
    ],
    ['a shorter signature', (key) => replace(sign({ key }), 'signature', 'v1_')],
    ['no signature', (key) => replace(sign({ key }), 'signature', '')],
  ])('%s', async (_what, query) => {
    const answer = await download(query(await keyOf(sandbox.id)))
    expect(answer).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED', statusCode: 401 } })
  })

  it('every other operation, sandbox and method', async () => {
    const key = await keyOf(sandbox.id)
    const other = await world.create()
    expect((await download(sign({ key }), other.id)).status).toBe(401)
    expect((await download(sign({ key }), '9c5e0f0e-0000-4000-8000-000000000000')).status).toBe(401)
    expect((await download(sign({ key }), 'name')).status).toBe(401)
    const root = `/toolbox-proxy/${sandbox.id}`
    expect((await ask('GET', `${root}/files/info?${sign({ key })}`)).status).toBe(401)
    expect((await ask('GET', `${root}/files/download/../info?${sign({ key })}`)).status).toBe(401)
    expect((await ask('DELETE', `${root}/files/download?${sign({ key, method: 'DELETE' })}`)).status).toBe(401)
    expect((await ask('POST', `${root}/files/upload?${sign({ key, method: 'POST' })}`)).status).toBe(401)
    expect((await ask('GET', `/sandbox/${sandbox.id}?${sign({ key })}`)).status).toBe(401)
  })

  it('a wrong bearer, whatever the signature', async () => {
    const path = `/toolbox-proxy/${sandbox.id}/files/download?${sign({ key: await keyOf(sandbox.id) })}`
    expect((await ask('GET', path, { authorization: 'Bearer wrong' })).status).toBe(401)
  })
})

it('an invalid byte of a path is passed on as what was signed', async () => {
  const key = await keyOf(sandbox.id)
  const query = `${sign({ key, path: '\ufffd' })}`.replace('%EF%BF%BD', '%FF')
  expect((await download(query)).body['path']).toBe('/files/download?path=%EF%BF%BD')
})

it('a key is shown to and changed by who may use the toolbox of its own organization', async () => {
  const stranger = await world.createPrincipal()
  const weak = await world.createPrincipal({ permissions: [] })
  for (const [as, status] of [
    [stranger, 404],
    [weak, 403],
  ] as const) {
    expect((await world.call('GET', `/sandbox/${sandbox.id}/signing-key`, { as })).status).toBe(status)
    expect((await world.call('POST', `/sandbox/${sandbox.id}/signing-key/rotate`, { as })).status).toBe(status)
  }
})

it('no key and no signature is in any line of the log', async () => {
  const { id } = await world.create()
  const key = await keyOf(id)
  const query = sign({ key })
  expect((await download(query, id)).status).toBe(200)
  world.runner.get(id).toolbox?.close()
  await until('it is unreachable', async () => (await download(query, id)).status === 502)
  expect(logged.text()).toContain('/files/download')
  for (const secret of [key, String(query.get('signature'))]) expect(logged.text()).not.toContain(secret)
})

function replace(query: URLSearchParams, name: string, value: string): URLSearchParams {
  query.set(name, value)
  return query
}
