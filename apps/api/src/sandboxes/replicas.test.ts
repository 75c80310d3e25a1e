import type { Sandbox } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Api } from '../app.ts'
import { createApi } from '../app.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'

let world: SandboxWorld
let other: Api

beforeEach(async () => {
  world = await createSandboxWorld()
  const config = { dataDir: world.api.dataDir, host: '127.0.0.1', port: 0, logLevel: 'silent' } as const
  other = await createApi({
    config: { ...config, dialHomeDir: undefined, publicUrl: undefined },
    secrets: { databaseUrl: undefined, runnerToken: undefined },
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
