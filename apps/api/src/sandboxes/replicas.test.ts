import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import type { IncomingMessage } from 'node:http'
import { get } from 'node:http'
import type { Sandbox } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Api } from '../app.ts'
import { createApi } from '../app.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
let other: Api

beforeEach(async () => {
  world = await createSandboxWorld()
  other = await createApi({
    config: world.api.config,
    secrets: { ...world.api.secrets, runnerToken: undefined },
    address: world.api.database.address,
    log: createLogger('other', 'silent'),
  })
})
afterEach(async () => {
  await other[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})

function ask(method: 'POST' | 'GET', url: string) {
  return other.app.inject({ method, url: `/api${url}`, headers: world.principal.headers, payload: {} })
}

/** Returns the status of a preview on the replica that has the runner. */
async function previewStatus(sandboxId: string): Promise<number | undefined> {
  const { port } = new URL(world.url)
  const call = get({ host: '127.0.0.1', port, headers: { host: `3000-${sandboxId}.localhost:${port}` } })
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode
}

describe('two replicas', () => {
  it('share the work: what one is asked for, the one with the runner does, and the asked one hears of it', async () => {
    const created = await ask('POST', '/sandbox')
    expect(created.statusCode).toBe(200)
    const { id, state } = created.json<Sandbox>()
    expect(state).toBe('started')
    expect((await world.call('GET', `/toolbox/${id}/toolbox/x`)).status).toBe(200)
  })

  it('drop what they remember when the other changes it', async () => {
    const { id } = await world.create()
    expect((await world.call('GET', `/toolbox/${id}/toolbox/x`)).status).toBe(200)
    const hold = world.runner.hold('stop')
    expect((await ask('POST', `/sandbox/${id}/stop`)).statusCode).toBe(200)
    // The runner's replica was told, or it would not stop it.
    await hold.reached
    expect((await world.call('GET', `/toolbox/${id}/toolbox/x`)).status).toBe(400)
    hold.release()
    await world.untilState(id, 'stopped')
  })

  it('refuse a preview once the other has made its sandbox private, and show it once it is public', async () => {
    const { id } = await world.create({ public: true })
    expect(await previewStatus(id)).toBe(200)
    expect((await ask('POST', `/sandbox/${id}/public/false`)).statusCode).toBe(201)
    await until('it is refused', async () => (await previewStatus(id)) === 401)
    expect((await ask('POST', `/workspace/${id}/public/true`)).statusCode).toBe(201)
    await until('it is shown', async () => (await previewStatus(id)) === 200)
  })

  it('refuse what an old key has signed once the other has rotated it', async () => {
    const { id } = await world.create()
    const key = String((await world.call('GET', `/sandbox/${id}/signing-key`)).body)
    const signature = createHmac('sha256', key).update('v1:files:GET:/x:0').digest('base64url')
    const url = `${world.url}/api/toolbox-proxy/${id}/files/download?path=%2Fx&expires=0&signature=v1_${signature}`
    expect((await fetch(url)).status).toBe(200)
    expect((await ask('POST', `/sandbox/${id}/signing-key/rotate`)).statusCode).toBe(200)
    await until('it is refused', async () => (await fetch(url)).status === 401)
  })
})

describe('a replica that shuts down', () => {
  it('answers those who wait for a sandbox at once, and leaves the sandbox to be started', async () => {
    const hold = world.runner.hold('start')
    const waiting = ask('POST', '/sandbox')
    await hold.reached
    await other[Symbol.asyncDispose]()
    expect((await waiting).statusCode).toBe(503)
    hold.release()
    const [sandbox] = (await world.call('GET', '/sandbox')).body as Sandbox[]
    await world.untilState(sandbox?.id ?? '', 'started')
  })
})
