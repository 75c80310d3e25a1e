import { randomUUID } from 'node:crypto'
import type { ErrorBody, Organization } from '@atoll/protocol'
import { Organization as OrganizationSchema, UsageOverview } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { InjectedAnswer, OrganizationWorld } from '../testing/organization-world.ts'
import { createOrganizationWorld } from '../testing/organization-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'

let world: OrganizationWorld
let administrator: TestPrincipal

beforeAll(async () => {
  world = await createOrganizationWorld()
  administrator = await world.createUser({ systemRole: 'admin' })
})
afterAll(() => world[Symbol.asyncDispose]())

const messageOf = ({ body }: InjectedAnswer): string => (body as ErrorBody).message
const codeOf = ({ body }: InjectedAnswer): string => (body as ErrorBody).code
const organizationOf = ({ body }: InjectedAnswer): Organization => body as Organization

test('whoever creates an organization owns it, with the quotas of the contract', async () => {
  const user = await world.createUser()
  const created = await world.call('POST', '/organizations', { as: user, body: { name: 'Reef', unknown: 1 } })
  expect(created.status).toBe(201)
  expect(Value.Check(OrganizationSchema, created.body)).toBe(true)
  expect(created.body).toMatchObject({
    ...{ name: 'Reef', createdBy: user.userId, personal: false, suspended: false },
    ...{ suspendedAt: null, suspensionReason: null, suspendedUntil: null },
    ...{ maxCpuPerSandbox: 4, maxMemoryPerSandbox: 8, maxDiskPerSandbox: 10 },
  })
  const as = await world.keyIn(organizationOf(created).id, user.userId)
  const path = `/organizations/${as.organizationId}`
  expect((await world.call('GET', path, { as })).body).toEqual(created.body)
  const usage = await world.call('GET', `${path}/usage`, { as })
  expect(Value.Check(UsageOverview, usage.body)).toBe(true)
  expect(usage.body).toMatchObject({
    ...{ totalCpuQuota: 10, totalMemoryQuota: 10, totalDiskQuota: 30, totalGpuQuota: 0, totalVolumeQuota: 100 },
    ...{ currentCpuUsage: 0, imageQuota: 100, totalWorkspaceQuota: -1, totalImageSizeQuota: -1 },
  })
})

test('a name must be given, and nothing is made for one that is not', async () => {
  const as = await world.createUser()
  for (const body of [
    {},
    { name: '' },
    { name: 5 },
    { name: null },
    [],
    'Reef',
    { name: 'a'.repeat(256) },
    undefined,
  ]) {
    expect((await world.call('POST', '/organizations', { as, body })).status).toBe(400)
  }
  const regions = await world.call('POST', '/organizations', { as, body: { name: 'Reef', defaultRegionId: 'mars' } })
  expect([regions.status, codeOf(regions)]).toEqual([400, 'TARGET_NOT_FOUND'])
  expect((await world.call('POST', '/organizations', { as, body: { name: 'a\0b' } })).status).toBe(400)
  expect(await namesOf(as)).toEqual(['Personal'])
})

test('a user makes ten organizations at most, however many are asked for at once', async () => {
  const as = await world.createUser()
  const make = () => world.call('POST', '/organizations', { as, body: { name: 'Reef' } })
  const answers = await Promise.all(Array.from({ length: 15 }, make))
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(10)
  expect(answers.filter(({ status }) => status === 403)).toHaveLength(5)
})

test("a key shows its own organization, an administrator's every one of theirs", async () => {
  const user = await world.createUser()
  const other = await world.createOrganization(user)
  expect(await namesOf(user)).toEqual(['Personal'])
  expect(await namesOf(other)).toEqual(['Reef'])
  await world.createOrganization(administrator)
  expect(await namesOf(administrator)).toEqual(['Personal', 'Reef'])
})

test('an organization of others looks like one that does not exist', async () => {
  const stranger = await world.createUser()
  const { organizationId } = await world.createOrganization(await world.createUser())
  for (const id of [organizationId, randomUUID(), 'nonsense']) {
    for (const [method, rest] of [
      ['GET', ''],
      ['GET', '/usage'],
      ['DELETE', ''],
      ['POST', '/leave'],
    ] as const) {
      const answer = await world.call(method, `/organizations/${id}${rest}`, { as: stranger })
      expect([answer.status, messageOf(answer)]).toEqual([404, `Organization with ID ${id} not found`])
    }
  }
})

test("a member's key makes no organization", async () => {
  const owner = await world.createOrganization(await world.createUser())
  const as = await world.join(owner.organizationId, await world.createUser(), 'member')
  expect((await world.call('POST', '/organizations', { as, body: { name: 'Reef' } })).status).toBe(403)
  expect((await world.call('DELETE', `/organizations/${owner.organizationId}`, { as })).status).toBe(403)
})

test('a deleted organization is gone at once, with its keys and members', async () => {
  const user = await world.createUser()
  const as = await world.createOrganization(user)
  const path = `/organizations/${as.organizationId}`
  const deleted = await world.call('DELETE', path, { as })
  expect([deleted.status, deleted.body]).toEqual([204, ''])
  await expect.poll(async () => (await world.call('GET', path, { as })).status).toBe(401)
  expect((await world.call('GET', path, { as: administrator })).status).toBe(404)
  await expect
    .poll(() => world.api.database.sql`select 1 from organizations where id = ${as.organizationId}`)
    .toEqual([])
})

test('a personal organization can be neither deleted nor left', async () => {
  const as = await world.createUser()
  for (const [method, rest] of [
    ['DELETE', ''],
    ['POST', '/leave'],
  ] as const) {
    const answer = await world.call(method, `/organizations/${as.organizationId}${rest}`, { as })
    expect([answer.status, codeOf(answer)]).toEqual([403, 'ORGANIZATION_IS_PERSONAL'])
  }
})

test('an administrator changes quotas, by the names of both generations', async () => {
  const as = await world.createOrganization(await world.createUser())
  const path = `/organizations/${as.organizationId}`
  expect((await world.call('PATCH', `${path}/quota`, { as, body: { totalCpuQuota: 1_000 } })).status).toBe(403)
  const newer = { totalCpuQuota: 20, totalMemoryQuota: null, maxDiskPerSandbox: -1, maxSnapshotSize: 2.5 }
  const patched = await world.call('PATCH', `${path}/quota`, { as: administrator, body: newer })
  expect([patched.status, organizationOf(patched).maxDiskPerSandbox]).toEqual([200, -1])
  const older = {
    ...{ totalCpuQuota: 21, totalMemoryQuota: 22, totalDiskQuota: 23 },
    ...{ maxCpuPerWorkspace: 1, maxMemoryPerWorkspace: 2, maxDiskPerWorkspace: 3 },
    ...{ maxConcurrentWorkspaces: 4, workspaceQuota: 5, imageQuota: 6, maxImageSize: 7, totalImageSize: 8 },
  }
  const put = await world.call('PUT', `${path}/quota`, { as: administrator, body: older })
  expect(put.body).toMatchObject({ maxCpuPerSandbox: 1, maxMemoryPerSandbox: 2, maxDiskPerSandbox: 3 })
  expect((await world.call('GET', `${path}/usage`, { as })).body).toMatchObject({
    ...{ totalCpuQuota: 21, totalMemoryQuota: 22, totalDiskQuota: 23, totalVolumeQuota: 100 },
    ...{
      concurrentWorkspaceQuota: 4,
      totalWorkspaceQuota: 5,
      imageQuota: 6,
      totalSnapshotQuota: 6,
      totalImageSizeQuota: 8,
    },
  })
  for (const body of [
    { totalCpuQuota: -2 },
    { totalCpuQuota: 1.5 },
    { totalCpuQuota: 'many' },
    { volumeQuota: 2 ** 31 },
  ]) {
    expect((await world.call('PATCH', `${path}/quota`, { as: administrator, body })).status).toBe(400)
  }
  const unknown = await world.call('PATCH', `/organizations/${randomUUID()}/quota`, { as: administrator, body: {} })
  expect(unknown.status).toBe(404)
})

test('a suspension shows until it is lifted or over', async () => {
  const as = await world.createOrganization(await world.createUser())
  const path = `/organizations/${as.organizationId}`
  const shown = async () => organizationOf(await world.call('GET', path, { as }))
  expect((await world.call('POST', `${path}/suspend`, { as })).status).toBe(403)
  const until = new Date(Date.now() + 3_600_000).toISOString()
  const suspend = (body?: object) => world.call('POST', `${path}/suspend`, { as: administrator, body })
  expect((await suspend({ reason: 'unpaid', until })).status).toBe(204)
  expect(await shown()).toMatchObject({ suspended: true, suspensionReason: 'unpaid', suspendedUntil: until })
  await suspend({ reason: 'unpaid', until: '2020-01-01T00:00:00Z' })
  expect(await shown()).toMatchObject({ suspended: false })
  expect((await suspend()).status).toBe(204)
  expect(await shown()).toMatchObject({ suspended: true, suspensionReason: null, suspendedUntil: null })
  expect((await suspend({ until: 'tomorrow' })).status).toBe(400)
  expect((await suspend({ until: '2016-12-31T23:59:60Z' })).status).toBe(400)
  expect((await world.call('POST', `${path}/unsuspend`, { as: administrator })).status).toBe(204)
  expect(await shown()).toMatchObject({ suspended: false, suspendedAt: null, suspensionReason: null })
})

test('the default region is one that there is', async () => {
  const as = await world.createOrganization(await world.createUser())
  const path = `/organizations/${as.organizationId}`
  const set = (defaultRegionId: string) =>
    world.call('PATCH', `${path}/default-region`, { as, body: { defaultRegionId } })
  expect((await set('us')).status).toBe(200)
  expect(organizationOf(await world.call('GET', path, { as })).defaultRegionId).toBe('us')
  expect((await set('mars')).status).toBe(400)
})

async function namesOf(as: TestPrincipal): Promise<string[]> {
  const { body } = await world.call('GET', '/organizations', { as })
  return (body as Organization[]).map(({ name }) => name)
}
