import { randomUUID } from 'node:crypto'
import type { ErrorBody, Volume } from '@atoll/protocol'
import { ErrorBody as ErrorBodySchema, Volume as VolumeSchema } from '@atoll/protocol'
import * as fc from 'fast-check'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import type { Answer, SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const messageOf = ({ body }: Answer): string => (body as ErrorBody).message

async function ready(name: string = randomUUID(), as = world.principal): Promise<Volume> {
  const made = (await world.call('POST', '/volumes', { as, body: { name } })).body as Volume
  const get = async () => (await world.call('GET', `/volumes/${made.id}`, { as })).body as Volume
  await until('the volume is ready', async () => (await get()).state === 'ready')
  return await get()
}

describe('a volume', () => {
  it('is made on a runner, found by id and name, and deleted, after which its name is free', async () => {
    const begun = await world.call('POST', '/volumes', { body: { name: 'data' } })
    expect(begun.status).toBe(200)
    expect(Value.Check(VolumeSchema, begun.body)).toBe(true)
    expect(begun.body).toMatchObject({
      ...{ name: 'data', state: 'pending_create', lastUsedAt: null, errorReason: null },
      organizationId: world.principal.organizationId,
    })
    const { id } = begun.body as Volume
    await until(
      'it is ready',
      async () => (await world.call('GET', `/volumes/${id}`)).status === 200 && world.runner.holdings.volumes.has(id),
    )
    await until(
      'it is ready',
      async () => ((await world.call('GET', '/volumes/by-name/data')).body as Volume).state === 'ready',
    )
    const taken = await world.call('POST', '/volumes', { body: { name: 'data' } })
    expect([taken.status, messageOf(taken)]).toEqual([400, 'Volume with name data already exists'])
    const deleted = await world.call('DELETE', `/volumes/${id}`)
    expect([deleted.status, deleted.body]).toEqual([200, ''])
    await until(
      'it is deleted',
      async () => ((await world.call('GET', `/volumes/${id}`)).body as Volume).state === 'deleted',
    )
    expect(world.runner.holdings.volumes.has(id)).toBe(false)
    expect((await world.call('GET', `/volumes/${id}`)).body).toMatchObject({ name: 'data-deleted' })
    // V6
    const { userId, organizationId } = world.principal
    const events = await world.api.database.sql`
      select actor_id, event, from_state, to_state,
        duration_ms = coalesce(round(1000 * extract(epoch from at - lag(at) over (order by id))), 0), organization_id
      from volume_events where volume_id = ${id} order by id`.values()
    expect(events).toEqual([
      [userId, 'create', null, 'pending_create', true, organizationId],
      [null, 'creation_begun', 'pending_create', 'creating', true, organizationId],
      [null, 'created', 'creating', 'ready', true, organizationId],
      [userId, 'delete', 'ready', 'pending_delete', true, organizationId],
      [null, 'deletion_begun', 'pending_delete', 'deleting', true, organizationId],
      [null, 'deleted', 'deleting', 'deleted', true, organizationId],
    ])
    expect((await world.call('POST', '/volumes', { body: { name: 'data' } })).status).toBe(200)
  })

  it('has its id as name when none is given', async () => {
    const { body } = await world.call('POST', '/volumes', { body: { name: '' } })
    expect((body as Volume).name).toBe((body as Volume).id)
  })

  it('that is unknown is told of in the words SDKs look for', async () => {
    const answer = await world.call('GET', '/volumes/by-name/no-such')
    expect(answer.status).toBe(404)
    expect(answer.body).toMatchObject({ statusCode: 404, message: 'Volume with name no-such not found' })
    expect((await world.call('DELETE', `/volumes/${randomUUID()}`)).status).toBe(404)
  })

  it('of others is unknown', async () => {
    const { id, name } = await ready()
    const as = await world.createPrincipal()
    for (const [method, path] of [
      ['GET', id],
      ['DELETE', id],
      ['GET', `by-name/${name}`],
    ] as const) {
      expect((await world.call(method, `/volumes/${path}`, { as })).status).toBe(404)
    }
    expect((await world.call('GET', '/volumes', { as })).body).toEqual([])
  })

  it('is listed, last used first, and deleted ones only when they are asked for', async () => {
    const as = await world.createPrincipal()
    const [a, b] = [await ready('a', as), await ready('b', as)]
    await world.api.database.sql`update volumes set last_used_at = now() where id = ${a.id}`
    const list = async (query = '') =>
      ((await world.call('GET', `/volumes${query}`, { as })).body as Volume[]).map(({ id }) => id)
    expect(await list()).toEqual([a.id, b.id])
    await world.call('DELETE', `/volumes/${a.id}`, { as })
    await until('it is hidden', async () => (await list()).length === 1)
    expect(await list('?includeDeleted=true')).toEqual([a.id, b.id])
  })

  it('is not deleted before it is ready', async () => {
    const as = await world.createPrincipal()
    await world.runner.disconnect()
    const { body } = await world.call('POST', '/volumes', { as, body: { name: 'later' } })
    const refused = await world.call('DELETE', `/volumes/${(body as Volume).id}`, { as })
    expect([refused.status, messageOf(refused)]).toEqual([400, 'Volume is not ready'])
    await world.runner.connect()
    await world.untilRunnerReady()
    await until('it is ready', async () => {
      const { body: now } = await world.call('GET', '/volumes/later', { as })
      return (now as Volume).state === 'ready'
    })
  })

  it('that its runner refuses is in error, and can be deleted then', async () => {
    const refusal = { status: 400, code: 'BAD_REQUEST', message: 'no room' }
    world.runner.holdings.refusals.set('make', refusal)
    const { body } = await world.call('POST', '/volumes', { body: { name: 'broken' } })
    const { id } = body as Volume
    const get = async () => (await world.call('GET', `/volumes/${id}`)).body as Volume
    await until('it is in error', async () => (await get()).state === 'error')
    expect((await get()).errorReason).toBe('no room')
    world.runner.holdings.refusals.clear()
    expect((await world.call('DELETE', `/volumes/${id}`)).status).toBe(200)
    await until('it is deleted', async () => (await get()).state === 'deleted')
  })

  it('counts towards the quota of its organization, exactly', async () => {
    const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, volumeQuota: 3 } })
    const post = () => world.call('POST', '/volumes', { as, body: { name: randomUUID() } })
    const answers = await Promise.all(Array.from({ length: 20 }, post))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(3)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 403]))
  })

  it('of one name is made once, however many ask at once', async () => {
    const post = () => world.call('POST', '/volumes', { body: { name: 'race' } })
    const answers = await Promise.all(Array.from({ length: 20 }, post))
    expect(answers.filter(({ status }) => status === 200)).toHaveLength(1)
    expect(answers.filter(({ status }) => status === 400)).toHaveLength(19)
  })

  it('needs the permission of its key', async () => {
    const as = await world.createPrincipal({ permissions: ['read:volumes'] })
    expect((await world.call('GET', '/volumes', { as })).status).toBe(200)
    expect((await world.call('POST', '/volumes', { as, body: { name: 'x' } })).status).toBe(403)
    const writer = await world.createPrincipal({ permissions: ['write:volumes'] })
    expect((await world.call('GET', '/volumes', { as: writer })).status).toBe(403)
    expect((await world.call('DELETE', `/volumes/${randomUUID()}`, { as: writer })).status).toBe(403)
  })

  it('answers orderly to anything that is not asked for', async () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.integer(), fc.constant(null), fc.string({ maxLength: 300 }))
    await fc.assert(
      fc.asyncProperty(fc.record({ name: text }, { requiredKeys: [] }), async (body) => {
        const answer = await world.call('POST', '/volumes', { body })
        expect(answer.status).toBeLessThan(500)
        if (answer.status !== 200) expect(Value.Check(ErrorBodySchema, answer.body)).toBe(true)
      }),
      { numRuns: 100 },
    )
  })
})
