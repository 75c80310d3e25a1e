import { randomUUID } from 'node:crypto'
import type { AuditLogLine, AuditLogPage, AuditScenarios, OrganizationInvitation } from '@atoll/protocol'
import { AuditLogPage as PageSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { OrganizationWorld } from '../testing/organization-world.ts'
import { createOrganizationWorld } from '../testing/organization-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'

let world: OrganizationWorld

beforeAll(async () => {
  world = await createOrganizationWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

/** Returns the log of the key's organization when it holds this many lines. */
async function linesOf(as: TestPrincipal, count: number): Promise<AuditLogLine[]> {
  const page = async () => (await read(as)).items
  await expect.poll(async () => (await page()).length).toBe(count)
  return await page()
}

async function read(as: TestPrincipal, query = ''): Promise<AuditLogPage> {
  const { status, body } = await world.call('GET', `/audit/organizations/${as.organizationId}${query}`, { as })
  expect(status).toBe(200)
  expect(Value.Check(PageSchema, body)).toBe(true)
  return body as AuditLogPage
}

test('a change is noted with its actor, target and outcome; reading is not', async () => {
  const as = await world.createOrganization(await world.createUser())
  const role = { name: 'Reader', description: '', permissions: ['read:volumes'] }
  const created = await world.call('POST', `/organizations/${as.organizationId}/roles`, { as, body: role })
  const { id } = created.body as { id: string }
  await world.call('GET', `/organizations/${as.organizationId}/roles`, { as })
  const [line, creation] = await linesOf(as, 2)
  expect(line).toMatchObject({
    ...{ actorId: as.userId, actorEmail: `${as.userId}@example.org`, organizationId: as.organizationId },
    ...{ action: 'create', targetType: 'organization_role', targetId: id, statusCode: 201 },
    ...{ actorApiKeyPrefix: 'dtn', actorApiKeySuffix: as.apiKey.slice(-3), ipAddress: '127.0.0.1' },
  })
  expect(line).not.toHaveProperty('errorMessage')
  expect(creation).toMatchObject({ action: 'create', targetType: 'organization', targetId: as.organizationId })
})

test('what is refused is noted as well, with why, and never with the body', async () => {
  const as = await world.createOrganization(await world.createUser())
  const member = await world.join(as.organizationId, await world.createUser(), 'member')
  const secret = `secret-${randomUUID()}`
  const body = { name: secret, description: secret, permissions: [] }
  await world.call('POST', `/organizations/${as.organizationId}/roles`, { as, body })
  await world.call('DELETE', `/organizations/${as.organizationId}`, { as: member })
  await world.call('DELETE', `/sandbox/nowhere`, { as })
  const lines = await linesOf(as, 4)
  expect(lines.slice(0, 3)).toMatchObject([
    {
      action: 'delete',
      targetType: 'sandbox',
      targetId: 'nowhere',
      statusCode: 404,
      errorMessage: 'Sandbox with ID nowhere not found',
    },
    { action: 'delete', targetType: 'organization', actorId: member.userId, statusCode: 403 },
    { action: 'create', targetType: 'organization_role', statusCode: 400 },
  ])
  expect(JSON.stringify(await world.api.database.sql`select * from audit_logs`)).not.toContain(secret)
})

test('a call on an organization of others is noted in that of the caller', async () => {
  const as = await world.createOrganization(await world.createUser())
  const stranger = await world.createUser()
  await world.call('DELETE', `/organizations/${as.organizationId}`, { as: stranger })
  const administrator = await world.createUser({ systemRole: 'admin' })
  await world.call('POST', `/organizations/${as.organizationId}/suspend`, { as: administrator })
  expect(await linesOf(stranger, 1)).toMatchObject([{ targetId: as.organizationId, statusCode: 404 }])
  expect(await linesOf(as, 2)).toMatchObject([
    { action: 'suspend', actorId: administrator.userId, statusCode: 204 },
    { action: 'create' },
  ])
})

test('who answered an invitation stands in the log of the organization', async () => {
  const as = await world.createOrganization(await world.createUser())
  for (const verb of ['accept', 'decline']) {
    const guest = await world.createUser()
    const path = `/organizations/${as.organizationId}/invitations`
    const answer = await world.call('POST', path, { as, body: { email: `${guest.userId}@example.org` } })
    const { id } = answer.body as OrganizationInvitation
    await world.call('POST', `/organizations/invitations/${id}/${verb}`, { as: guest })
  }
  expect((await linesOf(as, 5)).map(({ action }) => action)).toEqual([
    'decline',
    'create',
    'accept',
    'create',
    'create',
  ])
})

test('a call without a valid credential, and one that is no change, leave no line', async () => {
  const as = await world.createOrganization(await world.createUser())
  const nobody = { ...as, headers: { authorization: 'Bearer nonsense' } }
  await world.call('DELETE', `/organizations/${as.organizationId}`, { as: nobody })
  await world.call('POST', '/sandbox/nowhere/last-activity', { as })
  await world.call('POST', '/toolbox/nowhere/toolbox/process/execute', { as, body: {} })
  await world.call('POST', '/nowhere', { as })
  await world.call('POST', `/organizations/${as.organizationId}/leave`, { as })
  expect((await linesOf(as, 2)).map(({ action }) => action)).toEqual(['leave_organization', 'create'])
})

test('the log is paged, by number and by token, and narrowed by time', async () => {
  const as = await world.createOrganization(await world.createUser())
  for (let count = 0; count < 5; count += 1) await world.call('DELETE', `/sandbox/s${count}`, { as })
  const all = await linesOf(as, 6)
  const first = await read(as, '?limit=4')
  expect(first).toMatchObject({ total: 6, page: 1, totalPages: 2, items: all.slice(0, 4) })
  expect(await read(as, '?limit=4&page=2')).toMatchObject({ page: 2, items: all.slice(4) })
  const second = await read(as, `?limit=4&page=9&nextToken=${first.nextToken}`)
  expect(second.items).toEqual(all.slice(4))
  expect(second).not.toHaveProperty('nextToken')
  const from = encodeURIComponent(all[2]?.createdAt ?? '')
  expect((await read(as, `?to=${from}`)).items.length).toBeLessThan(6)
  expect((await read(as, '?from=2999-01-01T00:00:00Z')).items).toEqual([])
  for (const query of ['limit=0', 'limit=201', 'page=0', 'from=x', 'nextToken=x', `nextToken=${'a'.repeat(600)}`]) {
    const { status } = await world.call('GET', `/audit/organizations/${as.organizationId}?${query}`, { as })
    expect([query, status]).toEqual([query, 400])
  }
})

test('the log is for those who may read it', async () => {
  const as = await world.createOrganization(await world.createUser())
  const blind = await world.keyIn(as.organizationId, as.userId, ['write:sandboxes'])
  const path = `/audit/organizations/${as.organizationId}`
  expect((await world.call('GET', path, { as: blind })).status).toBe(403)
  expect((await world.call('GET', path, { as: await world.createUser() })).status).toBe(404)
})

test('what can be in the log is what the routes do', async () => {
  const { body } = await world.call('GET', '/audit/scenarios', { as: await world.createUser() })
  const { targets } = body as AuditScenarios
  expect(targets.find(({ targetType }) => targetType === 'organization_role')?.actions).toEqual([
    ...['create', 'delete', 'update'],
  ])
})
