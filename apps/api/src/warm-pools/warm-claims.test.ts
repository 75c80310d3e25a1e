import type { Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'

const SIZE = 3

let world: SandboxWorld
beforeAll(async () => {
  world = await createSandboxWorld({ config: { warmPool: { snapshots: ['host'], min: SIZE, max: SIZE } } })
})
afterAll(() => world[Symbol.asyncDispose]())

async function readyMembers(): Promise<string[]> {
  const { sql } = world.api.database
  const rows = await sql<{ id: string }[]>`
    select id from sandboxes where warm_pool_id is not null and state = 'started' and desired_state = 'started'
    order by created_at`
  return rows.map(({ id }) => id)
}

async function untilFull(): Promise<string[]> {
  await until('the pool is full', async () => (await readyMembers()).length === SIZE)
  return await readyMembers()
}

async function untilClaimed(id: string): Promise<void> {
  await until('its toolbox knows', () => world.runner.get(id).claims.length > 0)
}

describe('a create', () => {
  it('is given a member, as it would have been made (W3)', async () => {
    const members = await untilFull()
    const body = {
      name: 'first',
      env: { A: '1' },
      labels: { b: '2' },
      public: true,
      autoStopInterval: 7,
      ttlMinutes: 9,
    }
    const before = Date.now()
    const sandbox = await world.create(body)
    expect(members).toContain(sandbox.id)
    expect(sandbox).toMatchObject({
      ...{ name: 'first', env: { A: '1' }, labels: { b: '2' }, public: true, autoStopInterval: 7, state: 'started' },
      ...{ organizationId: world.principal.organizationId, snapshot: 'host', user: 'daytona', target: 'us' },
      ...{ autoArchiveInterval: 10_080, autoDeleteInterval: -1, desiredState: 'started', networkBlockAll: false },
    })
    for (const time of [sandbox.createdAt, sandbox.lastActivityAt, sandbox.updatedAt]) {
      expect(Date.parse(time ?? '')).toBeGreaterThanOrEqual(before)
    }
    expect(Date.parse(sandbox.autoDestroyAt ?? '') - before).toBeGreaterThanOrEqual(9 * 60_000)
    await untilClaimed(sandbox.id)
    expect(world.runner.get(sandbox.id).claims).toEqual([{ A: '1' }])
    // Telling the toolbox its variables may count as activity.
    expect(await world.get(sandbox.id)).toEqual({ ...sandbox, lastActivityAt: expect.any(String) })
    const listed = (await world.call('GET', '/sandbox')).body as Sandbox[]
    expect(listed.map(({ id }) => id)).toContain(sandbox.id)
  })

  it('given a member uses its snapshot as any other does (W3)', async () => {
    const members = await untilFull()
    const { sql } = world.api.database
    await sql`update snapshots set last_used_at = now() - interval '13 days'`
    const { id, snapshot } = await world.create()
    expect(members).toContain(id)
    const [used] = await sql`
      select 1 from snapshots where name = ${snapshot ?? ''} and last_used_at > now() - interval '1 minute'`
    expect(used).toBeDefined()
  })

  it("takes its member out of the pool for ever: each sandbox is in one or an organization's (W1)", async () => {
    const [waiting = ''] = await untilFull()
    const { sql } = world.api.database
    const [pool] = await sql<{ id: string }[]>`select warm_pool_id as id from sandboxes where id = ${waiting}`
    const owner = world.principal.organizationId
    const both = sql`update sandboxes set organization_id = ${owner} where id = ${waiting}`
    await expect(both).rejects.toThrow('sandboxes_owner_check')
    const neither = sql`update sandboxes set warm_pool_id = null where id = ${waiting}`
    await expect(neither).rejects.toThrow('sandboxes_owner_check')
    expect((await world.create()).id).toBe(waiting)
    const back = sql`update sandboxes set warm_pool_id = ${pool?.id ?? ''} where id = ${waiting}`
    await expect(back).rejects.toThrow('sandboxes_owner_check')
    expect(await untilFull()).not.toContain(waiting)
  })

  it('has secrets of its own (W2)', async () => {
    const [first = ''] = await untilFull()
    const { sql } = world.api.database
    const secrets = () => sql`select auth_token, signing_key, toolbox_token_hash from sandboxes where id = ${first}`
    const [before] = await secrets()
    expect((await world.create()).id).toBe(first)
    const [after] = await secrets()
    expect(after?.['auth_token']).not.toBe(before?.['auth_token'])
    expect(after?.['signing_key']).not.toBe(before?.['signing_key'])
    expect(after?.['toolbox_token_hash']).toBe(before?.['toolbox_token_hash'])
  })

  it.each([
    ['volumes', async () => ({ volumes: [{ volumeId: await newVolume(), mountPath: '/data' }] })],
    ['another user', () => ({ user: 'root' })],
    ['another class', () => ({ class: 'large' })],
    ['a closed network', () => ({ networkBlockAll: true })],
    ['an allow list', () => ({ networkAllowList: '10.0.0.0/8' })],
    ['a PATH', () => ({ env: { PATH: '/bin' } })],
    ['a project folder', () => ({ env: { DAYTONA_PROJECT_DIR: '/tmp' } })],
    ['a build', () => ({ buildInfo: { dockerfileContent: 'FROM debian:12' } })],
  ])('with %s is made anew (W3)', async (_what, body) => {
    const members = await untilFull()
    const sandbox = await world.create(await body())
    expect(members).not.toContain(sandbox.id)
    expect(await readyMembers()).toEqual(members)
  })

  it('of the workspace generation takes a member of its size, and is made anew with another', async () => {
    const members = await untilFull()
    const workspace = async (body: object) =>
      ((await world.call('POST', '/workspace', { body })).body as { id: string }).id
    expect(members).not.toContain(await workspace({ cpu: 2 }))
    expect(members).toContain(await workspace({}))
  })

  it('of a name that is taken takes no member', async () => {
    const members = await untilFull()
    const { name } = await world.create({ name: 'taken' })
    const left = await untilFull()
    expect(left).not.toEqual(members)
    expect((await world.call('POST', '/sandbox', { body: { name } })).status).toBe(409)
    expect(await readyMembers()).toEqual(left)
  })

  it('beyond the quota takes no member (W4)', async () => {
    const members = await untilFull()
    const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, sandboxQuota: 0 } })
    const { status, body } = await world.call('POST', '/sandbox', { body: {}, as })
    expect({ status, body }).toMatchObject({ status: 403, body: { code: 'QUOTA_EXCEEDED' } })
    expect(await readyMembers()).toEqual(members)
  })

  it('that comes with many others gets a member or one of its own, and no two the same (W3)', async () => {
    const members = await untilFull()
    const some = await Promise.all(Array.from({ length: 4 }, () => world.createPrincipal()))
    const made = await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const as = some[index % some.length] ?? world.principal
        const { status, body } = await world.call('POST', '/sandbox', { body: { env: { N: `${index}` } }, as })
        expect(status).toBe(200)
        return { sandbox: body as Sandbox, as, index }
      }),
    )
    expect(new Set(made.map(({ sandbox }) => sandbox.id)).size).toBe(12)
    expect(made.filter(({ sandbox }) => members.includes(sandbox.id))).toHaveLength(SIZE)
    for (const { sandbox, as, index } of made) {
      expect(sandbox.organizationId).toBe(as.organizationId)
      await until('it has its environment', () => world.runner.get(sandbox.id).env['N'] === `${index}`)
    }
  })
})

async function newVolume(): Promise<string> {
  const { id } = (await world.call('POST', '/volumes', { body: { name: '' } })).body as { id: string }
  await until('the volume is ready', async () => {
    return ((await world.call('GET', `/volumes/${id}`)).body as { state: string }).state === 'ready'
  })
  return id
}

describe('a call of a claimed sandbox', () => {
  it('waits until its toolbox knows whose it is (W5)', async () => {
    await untilFull()
    let release: () => void = () => undefined
    world.runner.claimsHeld = new Promise((resolve) => {
      release = resolve
    })
    const { id } = await world.create({ env: { A: 'b' } })
    const call = world.call('GET', `/toolbox/${id}/toolbox/work-dir`)
    await until('the claim is pending', async () => (await pending(id)) === true)
    release()
    world.runner.claimsHeld = undefined
    expect((await call).status).toBe(200)
    await until('it is written down', async () => (await pending(id)) === false)
    expect(onlyClaimOf(id)).toEqual({ A: 'b' })
    expect((await world.call('GET', `/toolbox/${id}/toolbox/work-dir`)).status).toBe(200)
  })

  it('is passed on after the replica that claimed it has died before it could tell (W5)', async () => {
    await untilFull()
    const { id } = await world.create({ env: { A: 'c' } })
    await until('it is written down', async () => (await pending(id)) === false)
    const sandbox = world.runner.get(id)
    // This is what a replica leaves that dies right after its transaction.
    Object.assign(sandbox, { awaitsClaim: true, claims: [] })
    await world.api.database.sql`update sandboxes set claim_pending = true where id = ${id}`
    await until('a look finds it', () => sandbox.claims.length > 0)
    await until('it is written down', async () => (await pending(id)) === false)
    expect(onlyClaimOf(id)).toEqual({ A: 'c' })
  })

  it('that stops before its toolbox knew starts with its environment (W5)', async () => {
    await untilFull()
    let release: () => void = () => undefined
    world.runner.claimsHeld = new Promise((resolve) => {
      release = resolve
    })
    const { id } = await world.create({ env: { A: 'd' } })
    await world.runner.crash(id, 'killed')
    await world.untilState(id, 'stopped')
    release()
    world.runner.claimsHeld = undefined
    expect(await pending(id)).toBe(false)
    expect((await world.call('POST', `/sandbox/${id}/start`)).status).toBe(200)
    expect(world.runner.get(id)).toMatchObject({ env: { A: 'd' }, awaitsClaim: false })
    expect((await world.call('GET', `/toolbox/${id}/toolbox/work-dir`)).status).toBe(200)
  })
})

/**
 * Returns the variables that the toolbox was told. They are the same each time, if a slow answer made the API tell it
 * again.
 */
function onlyClaimOf(id: string): Record<string, string> | undefined {
  const [first, ...others] = world.runner.get(id).claims
  for (const other of others) expect(other).toEqual(first)
  return first
}

async function pending(id: string): Promise<boolean | undefined> {
  const [row] = await world.api.database.sql`select claim_pending from sandboxes where id = ${id}`
  return row?.['claim_pending'] as boolean | undefined
}
