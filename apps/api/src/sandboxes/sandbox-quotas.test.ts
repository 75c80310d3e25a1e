import type { ErrorBody, Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DEFAULT_QUOTAS, UNLIMITED_QUOTAS } from '../organizations/quota-limits.ts'
import type { Answer, SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const messageOf = ({ body }: Answer): string => (body as ErrorBody).message
const idOf = ({ body }: Answer): string => (body as Sandbox).id

async function stop(id: string, as: TestPrincipal): Promise<void> {
  await world.call('POST', `/sandbox/${id}/stop`, { as })
  await untilState(id, 'stopped')
}

async function untilState(id: string, state: string): Promise<void> {
  const { sql } = world.api.database
  const rows = async () =>
    sql`select 1 from sandboxes where id = ${id} and state = ${state} and desired_state = ${state}`
  await expect.poll(async () => (await rows()).length).toBe(1)
}

test('of fifty creations at once as many succeed as there is room for, never more', async () => {
  const as = await world.createPrincipal({ quotas: { ...DEFAULT_QUOTAS, diskGibQuota: 1_000 } })
  const answers = await Promise.all(Array.from({ length: 50 }, () => world.call('POST', '/sandbox', { as, body: {} })))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(10)
  const refused = answers.filter(({ status }) => status !== 200)
  expect(new Set(refused.map(({ status }) => status))).toEqual(new Set([403]))
  expect(refused[0]?.body).toMatchObject({ code: 'QUOTA_EXCEEDED', error: 'Forbidden' })
  expect(new Set(refused.map(messageOf))).toEqual(
    new Set(['Quota of total CPU exceeded: 10 of 10 used, 1 more asked for']),
  )
})

test('of starts at once as many succeed as there is room for', async () => {
  const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, memoryGibQuota: 3 } })
  const ids: string[] = []
  for (let count = 0; count < 6; count += 1) {
    const answer = await world.call('POST', '/sandbox', { as, body: {} })
    expect(answer.status).toBe(200)
    await stop(idOf(answer), as)
    ids.push(idOf(answer))
  }
  const answers = await Promise.all(ids.map((id) => world.call('POST', `/sandbox/${id}/start`, { as })))
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 200, 200, 403, 403, 403])
})

test('disk counts what is stopped, and is given back by what is destroyed', async () => {
  const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, diskGibQuota: 3 } })
  const first = idOf(await world.call('POST', '/sandbox', { as, body: {} }))
  await stop(first, as)
  const refused = await world.call('POST', '/sandbox', { as, body: {} })
  expect(messageOf(refused)).toBe('Quota of total disk (GiB) exceeded: 3 of 3 used, 3 more asked for')
  expect((await world.call('POST', `/sandbox/${first}/start`, { as })).status).toBe(200)
  await world.call('DELETE', `/sandbox/${first}`, { as })
  await untilState(first, 'destroyed')
  expect((await world.call('POST', '/sandbox', { as, body: {} })).status).toBe(200)
})

test('one sandbox may not be larger than allowed, whatever is free', async () => {
  const as = await world.createPrincipal({ quotas: DEFAULT_QUOTAS })
  const answer = await world.call('POST', '/workspace', { as, body: { cpu: 5 } })
  expect([answer.status, messageOf(answer)]).toEqual([
    403,
    'Limit of CPU of a sandbox exceeded: 5 asked for, 4 allowed',
  ])
  expect((await world.call('POST', '/workspace', { as, body: { cpu: 4, memory: 8, disk: 10 } })).status).toBe(200)
})

test('the number of sandboxes, and of those that run, can be bounded too', async () => {
  const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, sandboxQuota: 2, runningSandboxQuota: 1 } })
  const first = await world.call('POST', '/sandbox', { as, body: {} })
  expect(messageOf(await world.call('POST', '/sandbox', { as, body: {} }))).toContain(
    'running sandboxes exceeded: 1 of 1',
  )
  await stop(idOf(first), as)
  expect((await world.call('POST', '/sandbox', { as, body: {} })).status).toBe(200)
  expect(messageOf(await world.call('POST', '/sandbox', { as, body: {} }))).toContain('sandboxes exceeded: 2 of 2')
})

test('what a suspended organization has can be stopped and deleted, not made or started', async () => {
  const as = await world.createPrincipal()
  const { sql } = world.api.database
  const id = idOf(await world.call('POST', '/sandbox', { as, body: {} }))
  await sql`update organizations set suspended = true, suspended_at = now(), suspension_reason = 'unpaid'
    where id = ${as.organizationId}`
  await stop(id, as)
  for (const path of ['/sandbox', `/sandbox/${id}/start`, '/workspace']) {
    const answer = await world.call('POST', path, { as, body: {} })
    expect([answer.status, messageOf(answer)]).toEqual([403, 'Organization is suspended: unpaid'])
  }
  await sql`update organizations set suspended_until = now() - interval '1 second' where id = ${as.organizationId}`
  expect((await world.call('POST', `/sandbox/${id}/start`, { as })).status).toBe(200)
  expect((await world.call('DELETE', `/sandbox/${id}`, { as })).status).toBe(200)
})

test("a sandbox that names no region goes to its organization's own", async () => {
  const as = await world.createPrincipal()
  const { sql } = world.api.database
  await sql`update organizations set default_region_id = 'mars' where id = ${as.organizationId}`
  const lost = await world.call('POST', '/sandbox', { as, body: {} })
  expect([lost.status, messageOf(lost)]).toEqual([400, 'No available runners'])
  const named = await world.call('POST', '/sandbox', { as, body: { target: 'us' } })
  expect([named.status, (named.body as Sandbox).target]).toEqual([200, 'us'])
})
