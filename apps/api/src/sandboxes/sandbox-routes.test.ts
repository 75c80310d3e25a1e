import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

describe('the life of a sandbox', () => {
  it('is created started, stopped, started again and deleted', async () => {
    const { call, runner } = world
    const created = await call('POST', '/sandbox', { body: { labels: { a: 'b' }, env: { X: '1' }, unknownField: 5 } })
    expect(created.status).toBe(200)
    expect(created.body).toMatchObject({
      state: 'started',
      desiredState: 'started',
      snapshot: 'host',
      user: 'daytona',
      labels: { a: 'b' },
      env: { X: '1' },
      public: false,
      target: 'us',
      ...{ cpu: 1, gpu: 0, memory: 1, disk: 3 },
      autoStopInterval: 15,
      autoArchiveInterval: 10_080,
      autoDeleteInterval: -1,
      class: 'small',
    })
    const { id } = created.body as { id: string }
    expect(runner.get(id)).toMatchObject({
      state: 'running',
      env: { X: '1' },
      spec: { network: 'nat', user: 'daytona' },
    })

    const stopped = await call('POST', `/sandbox/${id}/stop`)
    expect([stopped.status, stopped.body]).toEqual([200, ''])
    expect((await world.get(id)).state).toMatch(/^stopp/)
    await world.untilState(id, 'stopped')
    expect(runner.get(id).state).toBe('stopped')

    const started = await call('POST', `/sandbox/${id}/start`)
    expect([started.status, (started.body as { state: string }).state]).toEqual([200, 'started'])

    const deleted = await call('DELETE', `/sandbox/${id}?force=true`)
    expect(deleted.status).toBe(200)
    expect((deleted.body as { state: string }).state).toBe('destroying')
    await world.untilState(id, 'destroyed')
    expect(runner.sandboxes.has(id)).toBe(false)
    expect(await world.get(id)).toMatchObject({ state: 'destroyed', env: {} })
    const listed = await call('GET', '/sandbox')
    expect(listed.body).toEqual([])
    expect((await call('DELETE', `/sandbox/${id}`)).status).toBe(200)
  })
})
