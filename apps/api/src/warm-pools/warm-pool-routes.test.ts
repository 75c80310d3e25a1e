import type { Sandbox, WarmPool } from '@atoll/protocol'
import { MAX_WARM_POOL_SIZE } from '@atoll/protocol'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
/** A principal that may have two sandboxes at most. */
let owner: TestPrincipal
beforeAll(async () => {
  world = await createSandboxWorld()
})
beforeEach(async () => {
  owner = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, sandboxQuota: 2 } })
})
afterAll(() => world[Symbol.asyncDispose]())

async function createPool(size: number): Promise<WarmPool> {
  const { status, body } = await world.call('POST', '/warm-pools', {
    body: { snapshot: 'host', pool: size },
    as: owner,
  })
  expect({ status, body }).toMatchObject({ status: 200 })
  return body as WarmPool
}

async function list(as = owner): Promise<WarmPool[]> {
  return (await world.call('GET', '/warm-pools', { as })).body as WarmPool[]
}

async function untilSize(size: number): Promise<void> {
  await until(`${size} are ready`, async () => (await list())[0]?.currentSize === size)
}

async function untilReason(reason: string | null): Promise<void> {
  await until(`it says ${reason}`, async () => (await list())[0]?.errorReason === reason)
}

const create = async (as = owner) => (await world.call('POST', '/sandbox', { body: {}, as })).body as Sandbox

describe("a warm pool of an organization's own", () => {
  it('serves its organization and nobody else', async () => {
    const { id, ...pool } = await createPool(1)
    expect(pool).toMatchObject({
      ...{ organizationId: owner.organizationId, snapshot: 'host', target: 'us', pool: 1, currentSize: 0 },
      ...{ osUser: 'daytona', env: {}, errorReason: null },
    })
    await untilSize(1)
    const members = new Set([...world.runner.sandboxes].flatMap(([key, one]) => (one.awaitsClaim ? [key] : [])))
    expect(members.size).toBe(1)
    const stranger = await world.createPrincipal()
    expect(members.has((await create(stranger)).id)).toBe(false)
    expect(await list(stranger)).toEqual([])
    for (const [method, body] of [['PATCH', { pool: 2 }], ['DELETE']] as const) {
      expect((await world.call(method, `/warm-pools/${id}`, { body, as: stranger })).status).toBe(404)
    }
    expect(members.has((await create()).id)).toBe(true)
  })

  it('counts for its quota from the beginning, and a claim adds nothing (W4)', async () => {
    await createPool(2)
    await untilSize(2)
    const usage = `/organizations/${owner.organizationId}/usage`
    expect((await world.call('GET', usage, { as: owner })).body).toMatchObject({ currentWorkspaces: 2 })
    const refused = await world.call('POST', '/sandbox', { body: { user: 'root' }, as: owner })
    expect(refused).toMatchObject({ status: 403, body: { code: 'QUOTA_EXCEEDED' } })
    const claimed = await Promise.all([create(), create()])
    expect(claimed.map(({ state }) => state)).toEqual(['started', 'started'])
    await until('it says why it is empty', async () => (await list())[0]?.errorReason?.includes('Quota') === true)
    expect((await list())[0]).toMatchObject({ currentSize: 0, pool: 2 })
  })

  it('changes its size, and goes with what waits in it', async () => {
    const { id } = await createPool(2)
    await untilSize(2)
    const answer = await world.call('PATCH', `/warm-pools/${id}`, { body: { pool: 1 }, as: owner })
    expect(answer).toMatchObject({ status: 200, body: { id, pool: 1 } })
    await untilSize(1)
    expect((await world.call('DELETE', `/warm-pools/${id}`, { as: owner })).status).toBe(200)
    expect(await list()).toEqual([])
    await until('nothing waits any more', async () => {
      const { sql } = world.api.database
      return (await sql`select 1 from sandboxes where warm_pool_id = ${id} and state <> 'destroyed'`).length === 0
    })
  })

  it('is refused twice, without its snapshot or its region, and in sizes that cannot be', async () => {
    await createPool(0)
    const ask = async (body: object) => {
      const answer = await world.call('POST', '/warm-pools', {
        body: { snapshot: 'host', pool: 1, ...body },
        as: owner,
      })
      return { status: answer.status, code: (answer.body as { code?: string }).code }
    }
    expect(await ask({})).toEqual({ status: 409, code: 'WARM_POOL_EXISTS' })
    expect(await ask({ snapshot: 'none' })).toEqual({ status: 400, code: 'SNAPSHOT_NOT_FOUND' })
    expect(await ask({ target: 'nowhere' })).toEqual({ status: 400, code: 'TARGET_NOT_FOUND' })
    for (const pool of [-1, 0.5, MAX_WARM_POOL_SIZE + 1, 'many']) {
      expect((await ask({ pool })).status).toBe(400)
    }
  })

  it('is empty while its organization is suspended', async () => {
    await createPool(1)
    await untilSize(1)
    const admin = await world.createPrincipal({ systemRole: 'admin' })
    const path = `/organizations/${owner.organizationId}`
    await world.call('POST', `${path}/suspend`, { body: { reason: 'unpaid' }, as: admin })
    await untilSize(0)
    await untilReason('Organization is suspended')
    await world.call('POST', `${path}/unsuspend`, { as: admin })
    await untilSize(1)
    await untilReason(null)
  })

  it('says why it is empty while no runner of its region can have it, or its snapshot cannot be used', async () => {
    await createPool(1)
    await untilSize(1)
    const { sql } = world.api.database
    await sql`update runners set unschedulable = true`
    await untilReason('No available runners')
    await sql`update snapshots set enabled = false where kind = 'builtin'`
    await untilReason('Snapshot is disabled')
    await sql`update snapshots set enabled = true where kind = 'builtin'`
    await sql`update runners set unschedulable = false`
    await untilReason(null)
  })

  it('ends with its organization', async () => {
    const { organizationId } = owner
    const { sql } = world.api.database
    const made = await world.call('POST', '/organizations', { body: { name: 'short-lived' }, as: owner })
    const { id } = made.body as { id: string }
    const [host] = await sql`select id from snapshots where kind = 'builtin'`
    const [pool] = await sql`
      insert into warm_pools (organization_id, snapshot_id, target, size, created_at, updated_at)
      values (${id}, ${host?.['id'] as string}, 'us', 1, now(), now()) returning id`
    const members = () =>
      sql`select 1 from sandboxes where warm_pool_id = ${pool?.['id'] as string} and state <> 'destroyed'`
    await until('it has a member', async () => (await members()).length === 1)
    expect(organizationId).not.toBe(id)
    await sql`update organizations set deleted_at = now() where id = ${id}`
    await until('nothing is left', async () => {
      const rows = await sql`select 1 from organizations where id = ${id}`
      return rows.length === 0 && (await members()).length === 0
    })
  })
})
