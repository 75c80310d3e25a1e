import { randomUUID } from 'node:crypto'
import type { ErrorBody, Sandbox, Workspace } from '@atoll/protocol'
import { Sandbox as SandboxSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

async function post(path: string): Promise<[number, unknown]> {
  const { status, body } = await world.call('POST', path)
  return [status, body]
}

describe('settings', () => {
  it('are stored, shown, and answered with nothing, by id and by name', async () => {
    const name = `named-${randomUUID()}`
    const { id } = await world.create({ name })
    expect(await post(`/sandbox/${id}/public/true`)).toEqual([201, ''])
    expect(await post(`/sandbox/${name}/autostop/7`)).toEqual([200, ''])
    expect(await post(`/sandbox/${id}/autoarchive/70`)).toEqual([200, ''])
    expect(await post(`/sandbox/${name}/autodelete/700`)).toEqual([200, ''])
    const shown = await world.get(id)
    expect(Value.Check(SandboxSchema, shown)).toBe(true)
    expect(shown).toMatchObject({
      ...{ public: true, autoStopInterval: 7, autoArchiveInterval: 70, autoDeleteInterval: 700 },
    })
    expect((shown.updatedAt ?? '') > (shown.lastActivityAt ?? '')).toBe(true)
  })

  it('are answered with the sandbox for newer SDKs', async () => {
    const { id } = await world.create()
    const as = { ...world.principal, headers: { ...world.principal.headers, 'x-daytona-sdk-version': '0.218.0' } }
    for (const [path, status, shown] of [
      ['public/true', 201, { public: true }],
      ['autostop/7', 200, { autoStopInterval: 7 }],
      ['autoarchive/70', 200, { autoArchiveInterval: 70 }],
      ['autodelete/700', 200, { autoDeleteInterval: 700 }],
    ] as const) {
      const answer = await world.call('POST', `/sandbox/${id}/${path}`, { as })
      expect([answer.status, Value.Check(SandboxSchema, answer.body)]).toEqual([status, true])
      expect(answer.body).toMatchObject({ id, ...shown })
    }
  })

  it.each([
    ['public/1', { public: true }],
    ['public/0', { public: false }],
    ['public/false', { public: false }],
    ['autostop/0', { autoStopInterval: 0 }],
    ['autostop/2147483647', { autoStopInterval: 2_147_483_647 }],
    ['autoarchive/0', { autoArchiveInterval: 43_200 }],
    ['autoarchive/43200', { autoArchiveInterval: 43_200 }],
    ['autoarchive/43201', { autoArchiveInterval: 43_200 }],
    ['autodelete/-5', { autoDeleteInterval: -5 }],
    ['autodelete/0', { autoDeleteInterval: 0 }],
  ])('%s shows as %j', async (path, shown) => {
    const { id } = await world.create()
    expect((await post(`/sandbox/${id}/${path}`))[0]).toBeLessThan(300)
    expect(await world.get(id)).toMatchObject(shown)
  })

  it.each([
    'public/yes',
    'public/True',
    'autostop/-1',
    'autostop/1.5',
    'autostop/soon',
    'autostop/2147483648',
    'autoarchive/-1',
    'autodelete/1e3x',
    'autodelete/-2147483649',
    'ttl/-1',
    'ttl/52560001',
  ])('%s is refused, naming the parameter, and changes nothing', async (path) => {
    const before = await world.create()
    const { status, body } = await world.call('POST', `/sandbox/${before.id}/${path}`)
    expect([status, (body as ErrorBody).message]).toEqual([400, expect.stringContaining('params.')])
    expect((await world.get(before.id)).updatedAt).toBe(before.updatedAt)
  })

  it('a time to live counts from now, may be given at creation, and 0 takes it away', async () => {
    const { id, autoDestroyAt: first = '', createdAt = '' } = await world.create({ ttlMinutes: 5 })
    expect(Date.parse(first) - Date.parse(createdAt)).toBe(5 * 60_000)
    const answer = await world.call('POST', `/sandbox/${id}/ttl/10`)
    const { autoDestroyAt: second = '', updatedAt = '' } = answer.body as Sandbox
    expect([answer.status, Value.Check(SandboxSchema, answer.body)]).toEqual([200, true])
    expect(Math.abs(Date.parse(second) - Date.parse(updatedAt) - 10 * 60_000)).toBeLessThan(60_000)
    expect((await world.call('POST', `/sandbox/${id}/ttl/0`)).body).not.toHaveProperty('autoDestroyAt')
  })

  it('can be set whatever the sandbox is doing, until it is destroyed', async () => {
    const { id } = await world.create()
    await world.call('POST', `/sandbox/${id}/stop`)
    expect((await post(`/sandbox/${id}/autostop/3`))[0]).toBe(200)
    await world.untilState(id, 'stopped')
    expect((await post(`/sandbox/${id}/autostop/4`))[0]).toBe(200)
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
    expect((await post(`/sandbox/${id}/autostop/5`))[0]).toBe(404)
  })

  it('with auto-delete 0 a stop is a deletion', async () => {
    const { id } = await world.create({ autoDeleteInterval: 0 })
    expect((await post(`/sandbox/${id}/stop`))[0]).toBe(200)
    expect(['destroying', 'destroyed']).toContain((await world.get(id)).state)
    await world.untilState(id, 'destroyed')
    expect((await post(`/sandbox/${id}/stop`))[0]).toBe(400)
  })

  it.each([
    ['', 2_000],
    ['?force=false', 2_000],
    ['?force=true', 0],
  ])('a stop%s allows its processes %i ms', async (query, graceMs) => {
    const { id } = await world.create()
    expect((await post(`/sandbox/${id}/stop${query}`))[0]).toBe(200)
    await world.untilState(id, 'stopped')
    expect(world.runner.get(id).graceMs).toBe(graceMs)
  })

  it('of workspaces are the same', async () => {
    const { id } = await world.create()
    expect(await post(`/workspace/${id}/public/true`)).toEqual([201, ''])
    expect(await post(`/workspace/${id}/autostop/7`)).toEqual([200, ''])
    expect(await post(`/workspace/${id}/autoarchive/0`)).toEqual([200, ''])
    expect(await world.get(id)).toMatchObject({ public: true, autoStopInterval: 7, autoArchiveInterval: 43_200 })
    const { body } = await world.call('GET', `/workspace/${id}`)
    expect(body as Workspace).toMatchObject({ public: true, autoStopInterval: 7, snapshotState: 'None' })
  })

  it('and operations are as unknown to other organizations as the sandbox, and take the permission', async () => {
    const { id } = await world.create()
    const stranger = await world.createPrincipal()
    const reader = await world.createPrincipal({ permissions: [] })
    const paths = ['public/true', 'autostop/1', 'autoarchive/1', 'archive', 'backup', 'resize'] as const
    const newer = ['autodelete/1', 'ttl/1', 'recover', 'network-settings'] as const
    const all = [
      ...[...paths, ...newer].map((path) => `/sandbox/${id}/${path}`),
      ...[...paths, 'snapshot'].map((path) => `/workspace/${id}/${path}`),
    ]
    for (const path of all) {
      const body = path.endsWith('settings') ? { networkBlockAll: true } : {}
      const unknown = await world.call('POST', path.replace(id, randomUUID()), { body, as: stranger })
      const foreign = await world.call('POST', path, { body, as: stranger })
      expect([path, unknown.status, foreign.status]).toEqual([path, 404, 404])
      expect((await world.call('POST', path, { body, as: reader })).status).toBe(403)
    }
    expect(await world.get(id)).toMatchObject({ public: false, autoStopInterval: 15, state: 'started' })
  })
})
