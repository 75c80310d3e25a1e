import type { Snapshot, SnapshotPage } from '@atoll/protocol'
import {
  CreateSnapshot,
  ErrorBody as ErrorBodySchema,
  SnapshotPage as PageSchema,
  Snapshot as SnapshotSchema,
} from '@atoll/protocol'
import * as fc from 'fast-check'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { messageOf, snapshotCalls } from '../testing/snapshot-calls.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
let admin: TestPrincipal

beforeAll(async () => {
  world = await createSandboxWorld()
  admin = await world.createPrincipal({ systemRole: 'admin' })
})
beforeEach(() => {
  world.runner.holdings.finishes = true
  world.runner.holdings.refusals.clear()
})
afterAll(() => world[Symbol.asyncDispose]())

const { newName, create, get, untilState, active } = snapshotCalls(() => world)

describe('a snapshot of an image', () => {
  it('is pulled, tried and becomes active, with its size', async () => {
    const name = newName()
    const begun = await create({ name, cpu: 2, memory: 4, disk: 5, entrypoint: ['sleep', 'infinity'] })
    expect(Value.Check(SnapshotSchema, begun)).toBe(true)
    expect(begun).toMatchObject({
      ...{ name, imageName: 'debian:12', general: false, enabled: true, state: 'pending', size: null },
      ...{ cpu: 2, gpu: 0, mem: 4, disk: 5, entrypoint: ['sleep', 'infinity'], errorReason: null, lastUsedAt: null },
      organizationId: world.principal.organizationId,
    })
    await untilState(begun.id, 'active')
    expect(await get(name)).toMatchObject({ id: begun.id, size: 0.5 })
    const { source } = world.runner.holdings.get(begun.ref ?? '')
    expect(source).toEqual({ kind: 'image', reference: 'debian:12', registries: [] })
  })

  it('shows what its runner is doing', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const { id, ref = '' } = await create()
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    for (const state of ['pulling', 'validating', 'active'] as const) {
      holdings.advance(ref, state)
      await untilState(id, state)
    }
  })

  it('is in error with the reason its runner gives', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const { id, ref = '' } = await create()
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    holdings.advance(ref, 'error', 'no such manifest')
    await untilState(id, 'error')
    expect((await get(id)).errorReason).toBe('no such manifest')
  })

  it('is in error at once when its runner refuses it', async () => {
    const refusal = { status: 501, code: 'RUNNER_INCAPABLE', message: 'install the package skopeo' }
    world.runner.holdings.refusals.set('make', refusal)
    const { id } = await create()
    await untilState(id, 'error')
    expect((await get(id)).errorReason).toBe('install the package skopeo')
  })

  it.each([
    ['no tag', 'debian', 'must include a tag'],
    ['an empty tag', 'debian:', 'must include a tag'],
    ['a port and no tag', 'localhost:5000/debian', 'must include a tag'],
    ['the tag latest', 'debian:latest', 'must not have the tag latest'],
    ['what no reference can be', 'deb ian:12', 'is no image reference'],
  ])('may not be of %s', async (_, imageName, message) => {
    const answer = await world.call('POST', '/snapshots', { body: { name: newName(), imageName } })
    expect([answer.status, messageOf(answer)]).toEqual([400, expect.stringContaining(message)])
  })

  it.each([
    ['neither image nor build', {}, 'Exactly one of'],
    ['both', { imageName: 'a:1', buildInfo: { dockerfileContent: 'FROM a' } }, 'Exactly one of'],
    [
      'an entrypoint with a build',
      { buildInfo: { dockerfileContent: 'FROM a' }, entrypoint: ['x'] },
      'Cannot specify an entrypoint',
    ],
    [
      'an impossible context',
      { buildInfo: { dockerfileContent: 'FROM a', contextHashes: ['../x'] } },
      'body.buildInfo',
    ],
    ['a name that is no reference', { name: 'a b', imageName: 'a:1' }, 'name may hold'],
    ['a name that clients take out of the path', { name: 'a/../b', imageName: 'a:1' }, 'a dot or two'],
    ['no cpu', { imageName: 'a:1', cpu: 0 }, 'body.cpu'],
    ['a wrong type', { imageName: 'a:1', entrypoint: 'x' }, 'body.entrypoint must be array'],
    ['an unknown region', { imageName: 'a:1', regionId: 'mars' }, 'Target mars not found'],
  ])('is refused with %s', async (_, body, message) => {
    const answer = await world.call('POST', '/snapshots', { body: { name: newName(), ...body } })
    expect([answer.status, messageOf(answer)]).toEqual([400, expect.stringContaining(message)])
  })

  it("has a name that is its organization's only, until it is gone", async () => {
    const { name, id } = await active()
    const again = () => world.call('POST', '/snapshots', { body: { name, imageName: 'debian:12' } })
    const taken = await again()
    expect([taken.status, messageOf(taken)]).toEqual([
      409,
      expect.stringContaining(`Snapshot with name "${name}" already`),
    ])
    const other = await world.createPrincipal()
    expect((await world.call('POST', '/snapshots', { as: other, body: { name, imageName: 'debian:12' } })).status).toBe(
      200,
    )
    await world.call('DELETE', `/snapshots/${id}`)
    await until('the name is free', async () => (await again()).status === 200)
  })

  it('counts towards the quota of its organization', async () => {
    const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, snapshotQuota: 3, maxSandboxCpu: 2 } })
    const post = (body: object) =>
      world.call('POST', '/snapshots', { as, body: { name: newName(), imageName: 'a:1', ...body } })
    expect((await post({ cpu: 3 })).status).toBe(403)
    const answers = await Promise.all(Array.from({ length: 10 }, () => post({})))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, ...Array(7).fill(403)])
  })
})

describe('snapshots', () => {
  it('of others are unknown, whatever is asked', async () => {
    const { id, name } = await active()
    const as = await world.createPrincipal()
    for (const [method, path, body] of [
      ['GET', '', undefined],
      ['DELETE', '', undefined],
      ['PATCH', '/toggle', { enabled: false }],
      ['POST', '/activate', undefined],
      ['POST', '/deactivate', undefined],
      ['GET', '/build-logs', undefined],
      ['GET', '/build-logs-url', undefined],
    ] as const) {
      for (const wanted of [id, encodeURIComponent(name)]) {
        const answer = await world.call(method, `/snapshots/${wanted}${path}`, { as, ...(body ? { body } : {}) })
        expect([answer.status, messageOf(answer)], `${method} ${path}`).toEqual([
          404,
          `Snapshot with ID or name ${decodeURIComponent(wanted)} not found`,
        ])
      }
    }
  })

  it('are listed in pages: own ones by their last use, general ones last', async () => {
    const as = await world.createPrincipal()
    const [a, b, c] = [await active({}, as), await active({}, as), await active({}, as)]
    await world.api.database.sql`update snapshots set last_used_at = now() where id = ${a.id}`
    const page = async (query: string) => (await world.call('GET', `/snapshots?${query}`, { as })).body as SnapshotPage
    const all = await page('limit=200')
    expect(Value.Check(PageSchema, all)).toBe(true)
    expect(all.items.map(({ id }) => id).slice(0, 3)).toEqual([a.id, c.id, b.id])
    expect(all.items.at(-1)).toMatchObject({ name: 'host', general: true, state: 'active' })
    expect(all).toMatchObject({ total: all.items.length, page: 1, totalPages: 1 })
    expect(await page('limit=2&page=2')).toMatchObject({ page: 2, totalPages: Math.ceil(all.total / 2) })
    expect((await page(`name=${encodeURIComponent(b.name.toUpperCase())}`)).items.map(({ id }) => id)).toEqual([b.id])
    expect((await page('sort=name&order=asc')).items[0]?.name).toBe('host')
    for (const query of ['limit=0', 'page=x', 'limit=10001', 'sort=size']) {
      expect((await world.call('GET', `/snapshots?${query}`, { as })).status, query).toBe(400)
    }
  })

  it('are activated and deactivated', async () => {
    const { id } = await active()
    const post = (action: string) => world.call('POST', `/snapshots/${id}/${action}`)
    const refused = await post('activate')
    expect([refused.status, messageOf(refused)]).toEqual([400, 'Snapshot is already active'])
    const off = await post('deactivate')
    expect([off.status, off.body]).toEqual([204, ''])
    expect((await get(id)).state).toBe('inactive')
    expect((await post('deactivate')).status).toBe(400)
    const on = (await post('activate')).body as Snapshot
    expect(on.state).toBe('active')
    expect(on.lastUsedAt).not.toBeNull()
  })

  it('are toggled, which changes nothing but the flag', async () => {
    const { id, state } = await active()
    const off = await world.call('PATCH', `/snapshots/${id}/toggle`, { body: { enabled: false } })
    expect(off.body).toMatchObject({ enabled: false, state })
    const on = await world.call('PATCH', `/snapshots/${id}/toggle`, { body: { enabled: true } })
    expect(on.body).toMatchObject({ enabled: true })
  })

  it('are made general by administrators only, and then seen by all and deleted by none', async () => {
    const { id, name } = await active({}, admin)
    const patch = (as: TestPrincipal, general: boolean) =>
      world.call('PATCH', `/snapshots/${id}/general`, { as, body: { general } })
    expect((await patch(admin, true)).body).toMatchObject({ general: true })
    expect((await get(name)).id).toBe(id)
    expect((await world.call('DELETE', `/snapshots/${id}`)).status).toBe(403)
    expect((await world.call('PATCH', `/snapshots/${id}/toggle`, { body: { enabled: false } })).status).toBe(403)
    expect((await world.call('DELETE', `/snapshots/${id}`, { as: admin })).status).toBe(403)
    expect((await patch(world.principal, false)).status).toBe(403)
    expect((await patch(admin, false)).body).toMatchObject({ general: false })
    expect((await world.call('GET', `/snapshots/${id}`)).status).toBe(404)
    expect(
      (await world.call('POST', '/snapshots', { body: { name: newName(), imageName: 'a:1', general: true } })).status,
    ).toBe(403)
  })

  it('leave their runners when they are deleted', async () => {
    const { id, ref = '' } = await active()
    expect((await world.call('DELETE', `/snapshots/${id}`)).status).toBe(200)
    await until('it is gone', async () => (await world.call('GET', `/snapshots/${id}`)).status === 404)
    expect(world.runner.holdings.snapshots.has(ref)).toBe(false)
  })

  it('M4: that are deleted while they are made are given up there', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const { id, ref = '' } = await create()
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    await world.call('DELETE', `/snapshots/${id}`)
    await until('it is gone', async () => (await world.call('GET', `/snapshots/${id}`)).status === 404)
    await until('it is given up', () => !holdings.snapshots.has(ref))
  })

  it('need the permission of their keys', async () => {
    const reader = await world.createPrincipal({ permissions: ['read:volumes'] })
    expect((await world.call('GET', '/snapshots', { as: reader })).status).toBe(200)
    const body = { name: newName(), imageName: 'a:1' }
    expect((await world.call('POST', '/snapshots', { as: reader, body })).status).toBe(403)
    expect((await world.call('POST', '/images', { as: reader, body: { name: 'a:1' } })).status).toBe(403)
  })

  it('answer orderly to anything that is not asked for', async () => {
    const amount = fc.oneof(fc.integer(), fc.string(), fc.constant(null), fc.double())
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.string(), fc.integer(), fc.constant('a:1'))
    const bodies = fc.record(
      {
        ...{ name: text, imageName: text, entrypoint: fc.array(text), general: fc.boolean() },
        ...{ cpu: amount, gpu: amount, memory: amount, disk: amount, regionId: text },
        buildInfo: fc.record({ dockerfileContent: text, contextHashes: fc.array(text) }, { requiredKeys: [] }),
      },
      { requiredKeys: [] },
    )
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        const answer = await world.call('POST', '/snapshots', { body })
        expect(answer.status).toBeLessThan(500)
        if (answer.status === 200) expect(Value.Check(CreateSnapshot, body)).toBe(true)
        else expect(Value.Check(ErrorBodySchema, answer.body)).toBe(true)
      }),
      { numRuns: 150 },
    )
  })
})
