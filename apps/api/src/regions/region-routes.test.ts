import type { Region } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { MAX_REGIONS } from './region-service.ts'

let world: SandboxWorld
let stranger: TestPrincipal

beforeAll(async () => {
  world = await createSandboxWorld()
  stranger = await world.createPrincipal()
})
afterAll(() => world[Symbol.asyncDispose]())

const us = { id: 'us', name: 'us', organizationId: null, regionType: 'shared' }

async function make(name: string, as?: TestPrincipal) {
  const { status, body } = await world.call('POST', '/regions', { body: { name }, ...(as && { as }) })
  return { status, id: (body as { id: string }).id }
}

describe('regions', () => {
  it('are the shared ones and those of an organization', async () => {
    const { status, id } = await make('lab')
    expect(status).toBe(201)
    const own = { id, name: 'lab', organizationId: world.principal.organizationId, regionType: 'custom' }
    expect((await world.call('GET', '/regions')).body).toMatchObject([us, own])
    expect((await world.call('GET', '/regions', { as: stranger })).body).toMatchObject([us])
    expect((await world.call('GET', '/shared-regions', { as: stranger })).body).toMatchObject([us])
    expect((await world.call('GET', `/regions/${id}`)).body).toMatchObject(own)
    for (const [method, body] of [['GET'], ['PATCH', {}], ['DELETE']] as const) {
      const answer = await world.call(method, `/regions/${id}`, { as: stranger, ...(body && { body }) })
      expect(answer.status).toBe(404)
    }
  })

  it('have names that are not taken, and the same name elsewhere', async () => {
    expect((await make('twice')).status).toBe(201)
    expect((await make('twice')).status).toBe(409)
    expect((await make('us')).status).toBe(409)
    expect((await make('twice', stranger)).status).toBe(201)
    for (const name of ['', 'a b', '<b>', 'x'.repeat(65)]) expect((await make(name)).status).toBe(400)
  })

  it('are at most so many of an organization', async () => {
    const as = await world.createPrincipal()
    await world.api.database.sql`
      insert into regions (id, name, region_type, organization_id)
      select gen_random_uuid()::text, 'region-' || n, 'custom', ${as.organizationId} from generate_series(1, ${MAX_REGIONS}) as n`
    const refused = await world.call('POST', '/regions', { as, body: { name: 'more' } })
    expect(refused).toMatchObject({ status: 403, body: { code: 'QUOTA_EXCEEDED' } })
  })

  it('are changed and deleted by their organization, and the shared ones by nobody', async () => {
    const { id } = await make('short')
    const body = { proxyUrl: 'https://proxy.example.org' }
    expect((await world.call('PATCH', `/regions/${id}`, { body })).status).toBe(200)
    expect((await world.call('GET', `/regions/${id}`)).body).toMatchObject(body)
    expect((await world.call('PATCH', '/regions/us', { body })).status).toBe(403)
    expect((await world.call('DELETE', '/regions/us')).status).toBe(403)
    expect((await world.call('DELETE', `/regions/${id}`)).status).toBe(204)
    expect((await world.call('GET', `/regions/${id}`)).status).toBe(404)
  })

  it('are whose they are, whatever else a body says', async () => {
    const other = await world.createPrincipal()
    const { id } = await make('own')
    const { organizationId } = world.principal
    const taken = { id: 'eu', name: 'eu', regionType: 'shared' }
    for (const owner of [null, other.organizationId]) {
      const body = { ...taken, organizationId: owner }
      expect((await world.call('PATCH', `/regions/${id}`, { body })).status).toBe(200)
      expect((await world.call('GET', '/regions', { as: other })).body).toMatchObject([us])
      expect((await world.call('GET', `/regions/${id}`)).body).toMatchObject({ name: 'own', organizationId })
    }
    const body = { ...taken, organizationId: other.organizationId, createdAt: 'then' }
    expect((await world.call('POST', '/regions', { body })).status).toBe(201)
    expect((await world.call('GET', '/regions', { as: other })).body).toMatchObject([us])
  })

  it('stay while a runner is there', async () => {
    const { id } = await make('served')
    const as = await world.createPrincipal({ systemRole: 'admin' })
    expect((await world.call('POST', '/runners', { body: { name: 'r', regionId: id }, as })).status).toBe(201)
    expect((await world.call('DELETE', `/regions/${id}`)).status).toBe(409)
  })

  it('take the permissions of regions', async () => {
    const as = await world.createPrincipal({ permissions: ['write:sandboxes'] })
    expect((await make('no', as)).status).toBe(403)
    expect((await world.call('GET', '/regions', { as })).status).toBe(200)
  })
})

describe('the target of a sandbox', () => {
  it('is a region that its organization may use, by id or name', async () => {
    await make('mine')
    for (const [target, as, message] of [
      ['mine', world.principal, 'No available runners'],
      ['mine', stranger, 'Target mine not found; there is us'],
      ['eu', stranger, 'Target eu not found; there is us'],
    ] as const) {
      const { status, body } = await world.call('POST', '/sandbox', { body: { target }, as })
      expect([status, (body as { message: string }).message]).toEqual([400, expect.stringContaining(message)])
    }
    const [region] = (await world.call('GET', '/regions')).body as Region[]
    expect((await world.create({ target: region?.id })).target).toBe('us')
  })
})
