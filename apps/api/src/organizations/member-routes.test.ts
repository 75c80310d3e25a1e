import type { ErrorBody, OrganizationRole, OrganizationUser } from '@atoll/protocol'
import { OrganizationRole as RoleSchema, OrganizationUser as UserSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Permission } from '../auth/permission.ts'
import { permissions } from '../auth/permission.ts'
import type { InjectedAnswer, OrganizationWorld } from '../testing/organization-world.ts'
import { createOrganizationWorld } from '../testing/organization-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'

const DEVELOPER = '00000000-0000-0000-0000-000000000001'
const VOLUMES = '00000000-0000-0000-0000-000000000006'

let world: OrganizationWorld
let owner: TestPrincipal
let path: string

beforeAll(async () => {
  world = await createOrganizationWorld()
})
afterAll(() => world[Symbol.asyncDispose]())
beforeEach(async () => {
  owner = await world.createOrganization(await world.createUser())
  path = `/organizations/${owner.organizationId}`
})

const codeOf = ({ status, body }: InjectedAnswer) => [status, (body as ErrorBody).code]
const memberOf = ({ body }: InjectedAnswer): OrganizationUser => body as OrganizationUser
const join = async (role: 'owner' | 'member') => world.join(owner.organizationId, await world.createUser(), role)

test('members are listed with what they are', async () => {
  const member = await join('member')
  const { status, body } = await world.call('GET', `${path}/users`, { as: member })
  expect(status).toBe(200)
  expect(body).toHaveLength(2)
  for (const each of body as unknown[]) expect(Value.Check(UserSchema, each)).toBe(true)
  expect(body).toMatchObject([
    { userId: owner.userId, role: 'owner', assignedRoles: [] },
    { userId: member.userId, role: 'member', email: `${member.userId}@example.org`, name: 'Ada' },
  ])
})

test('roles are assigned as a whole, and what they allow counts at once', async () => {
  const member = await join('member')
  const as = owner
  const assigned = `${path}/users/${member.userId}/assigned-roles`
  expect((await world.call('POST', '/sandbox', { as: member, body: {} })).status).toBe(403)
  const first = await world.call('POST', assigned, { as, body: { roleIds: [DEVELOPER, VOLUMES, DEVELOPER] } })
  expect(first.status).toBe(200)
  expect(memberOf(first).assignedRoles.map(({ id }) => id)).toEqual([DEVELOPER, VOLUMES])
  // There is no runner: a caller with the permission gets as far as that error.
  await expect.poll(async () => (await world.call('POST', '/sandbox', { as: member, body: {} })).status).toBe(400)
  const second = await world.call('POST', assigned, { as, body: { roleIds: [VOLUMES] } })
  expect(memberOf(second).assignedRoles.map(({ id }) => id)).toEqual([VOLUMES])
  await expect.poll(async () => (await world.call('POST', '/sandbox', { as: member, body: {} })).status).toBe(403)
  for (const id of ['nonsense', '10000000-0000-4000-8000-000000000000']) {
    const answer = await world.call('POST', assigned, { as, body: { roleIds: [DEVELOPER, id] } })
    expect([answer.status, (answer.body as ErrorBody).message]).toEqual([400, `roleIds holds the unknown role "${id}"`])
  }
  expect((await world.call('POST', assigned, { as, body: { roleIds: 'all' } })).status).toBe(400)
})

test('the newest call sets role and roles at once', async () => {
  const member = await join('member')
  const access = `${path}/users/${member.userId}/access`
  const answer = await world.call('POST', access, { as: owner, body: { role: 'owner', assignedRoleIds: [VOLUMES] } })
  expect(answer.body).toMatchObject({ role: 'owner', assignedRoles: [{ id: VOLUMES }] })
  const refused = await world.call('POST', access, { as: owner, body: { role: 'member', assignedRoleIds: ['x'] } })
  expect(refused.status).toBe(400)
  expect((await world.call('GET', `${path}/users`, { as: owner })).body).toMatchObject([{}, { role: 'owner' }])
})

test('a role of another organization cannot be assigned, listed, changed or deleted', async () => {
  const stranger = await world.createOrganization(await world.createUser())
  const theirs = `/organizations/${stranger.organizationId}/roles`
  const body = { name: 'Reader', description: '', permissions: ['read:volumes'] }
  const { id } = (await world.call('POST', theirs, { as: stranger, body })).body as OrganizationRole
  const assigned = `${path}/users/${owner.userId}/assigned-roles`
  expect((await world.call('POST', assigned, { as: owner, body: { roleIds: [id] } })).status).toBe(400)
  expect(
    ((await world.call('GET', `${path}/roles`, { as: owner })).body as OrganizationRole[]).map((role) => role.id),
  ).not.toContain(id)
  for (const method of ['PUT', 'DELETE'] as const) {
    expect(codeOf(await world.call(method, `${path}/roles/${id}`, { as: owner, body }))).toEqual([
      404,
      'ROLE_NOT_FOUND',
    ])
  }
})

test('a custom role is created, changed and deleted, and counts for whoever has it', async () => {
  const as = owner
  const member = await join('member')
  const body = { name: 'Builder', description: 'Builds', permissions: ['write:images', 'write:snapshots'] }
  const created = await world.call('POST', `${path}/roles`, { as, body })
  expect(created.status).toBe(201)
  expect(Value.Check(RoleSchema, created.body)).toBe(true)
  expect(created.body).toMatchObject({ name: 'Builder', permissions: ['write:snapshots'], isGlobal: false })
  const { id } = created.body as OrganizationRole
  expect(codeOf(await world.call('POST', `${path}/roles`, { as, body }))).toEqual([409, 'ROLE_NAME_TAKEN'])
  await world.call('POST', `${path}/users/${member.userId}/assigned-roles`, { as, body: { roleIds: [id] } })
  const changed = { ...body, permissions: ['write:sandboxes'] }
  expect((await world.call('PUT', `${path}/roles/${id}`, { as, body: changed })).status).toBe(200)
  await expect.poll(async () => (await world.call('POST', '/sandbox', { as: member, body: {} })).status).toBe(400)
  const second = (await world.call('POST', `${path}/roles`, { as, body: { ...body, name: 'Other' } })).body
  const renamed = `${path}/roles/${(second as OrganizationRole).id}`
  expect(codeOf(await world.call('PUT', renamed, { as, body }))).toEqual([409, 'ROLE_NAME_TAKEN'])
  expect((await world.call('DELETE', `${path}/roles/${id}`, { as })).status).toBe(204)
  expect(codeOf(await world.call('DELETE', `${path}/roles/${id}`, { as }))).toEqual([404, 'ROLE_NOT_FOUND'])
  await expect.poll(async () => (await world.call('POST', '/sandbox', { as: member, body: {} })).status).toBe(403)
})

test('global roles are the same for everybody and stay as they are', async () => {
  const roles = (await world.call('GET', `${path}/roles`, { as: owner })).body as OrganizationRole[]
  expect(roles.map(({ name, isGlobal }) => [name, isGlobal])).toEqual(
    ['Developer', 'Sandboxes Admin', 'Snapshots Admin', 'Registries Admin', 'Super Admin', 'Volumes Admin'].map(
      (name) => [name, true],
    ),
  )
  const body = { name: 'X', description: '', permissions: ['write:sandboxes'] }
  for (const method of ['PUT', 'DELETE'] as const) {
    expect((await world.call(method, `${path}/roles/${DEVELOPER}`, { as: owner, body })).status).toBe(403)
  }
})

test('a role needs a name and known permissions', async () => {
  const good = { name: 'X', description: '', permissions: ['write:sandboxes'] }
  for (const wrong of [
    { name: '' },
    { permissions: [] },
    { permissions: ['fly'] },
    { permissions: ['constructor'] },
    { permissions: ['__proto__'] },
    { permissions: 'write:sandboxes' },
    { description: 1 },
  ]) {
    const body = { ...good, ...wrong }
    expect((await world.call('POST', `${path}/roles`, { as: owner, body })).status).toBe(400)
  }
})

test('members, roles and invitations are for owners to change', async () => {
  const as = await join('member')
  const body = {
    role: 'owner',
    roleIds: [],
    assignedRoleIds: [],
    name: 'X',
    description: '',
    permissions: ['write:sandboxes'],
  }
  for (const [method, rest] of [
    ...[
      ['GET', '/roles'],
      ['POST', '/roles'],
      ['GET', '/invitations'],
      ['POST', '/invitations'],
    ],
    ...[
      ['POST', `/users/${as.userId}/role`],
      ['POST', `/users/${as.userId}/access`],
      ['DELETE', `/users/${as.userId}`],
    ],
    ...[
      ['POST', `/users/${as.userId}/assigned-roles`],
      ['DELETE', `/roles/${DEVELOPER}`],
    ],
  ] as ['GET' | 'POST' | 'DELETE', string][]) {
    expect([rest, (await world.call(method, path + rest, { as, body })).status]).toEqual([rest, 403])
  }
})

test('an owner changes the role of others, not their own', async () => {
  const other = await join('member')
  const set = (as: TestPrincipal, userId: string, role: string) =>
    world.call('POST', `${path}/users/${userId}/role`, { as, body: { role } })
  expect(memberOf(await set(owner, other.userId, 'owner')).role).toBe('owner')
  expect((await set(owner, owner.userId, 'member')).status).toBe(403)
  expect((await set(owner, 'nobody', 'member')).status).toBe(404)
  expect((await set(owner, other.userId, 'king')).status).toBe(400)
  expect(memberOf(await set(owner, other.userId, 'member')).role).toBe('member')
})

test('of two owners who demote each other, or leave, or remove each other at once, one stays an owner', async () => {
  for (const [method, target, body] of [
    ['POST', (userId: string) => `/users/${userId}/role`, { role: 'member' }],
    ['DELETE', (userId: string) => `/users/${userId}`, undefined],
    ['POST', () => '/leave', undefined],
  ] as const) {
    const first = await world.createOrganization(await world.createUser())
    const second = await world.join(first.organizationId, await world.createUser(), 'owner')
    const at = `/organizations/${first.organizationId}`
    const answers = await Promise.all([
      world.call(method, at + target(second.userId), { as: first, body }),
      world.call(method, at + target(first.userId), { as: second, body }),
    ])
    expect(answers.filter(({ status }) => status < 300)).toHaveLength(1)
    const rows = await world.api.database.sql`
      select 1 from organization_users where organization_id = ${first.organizationId} and role = 'owner'`
    expect(rows).toHaveLength(1)
  }
})

test('whoever is removed, or leaves, loses their keys at once', async () => {
  const [removed, leaving] = [await join('member'), await join('owner')]
  expect((await world.call('DELETE', `${path}/users/${removed.userId}`, { as: owner })).status).toBe(204)
  expect((await world.call('POST', `${path}/leave`, { as: leaving })).status).toBe(204)
  for (const as of [removed, leaving]) {
    await expect.poll(async () => (await world.call('GET', '/sandbox', { as })).status).toBe(401)
  }
  expect(codeOf(await world.call('DELETE', `${path}/users/${removed.userId}`, { as: owner }))).toEqual([
    404,
    'MEMBER_NOT_FOUND',
  ])
  expect(codeOf(await world.call('POST', `${path}/leave`, { as: owner }))).toEqual([403, 'LAST_OWNER'])
  expect(codeOf(await world.call('DELETE', `${path}/users/${owner.userId}`, { as: owner }))).toEqual([
    403,
    'LAST_OWNER',
  ])
})

test('a key makes its user leave only when it may do all that they may there', async () => {
  const [member, second] = [await join('member'), await join('owner')]
  const { sql } = world.api.database
  await sql`insert into organization_user_roles (organization_id, user_id, role_id)
    values (${owner.organizationId}, ${member.userId}, '00000000-0000-0000-0000-000000000002')`
  const leave = async (userId: string, allowed: readonly Permission[]) => {
    const as = await world.keyIn(owner.organizationId, userId, allowed)
    return (await world.call('POST', `${path}/leave`, { as })).status
  }
  expect(await leave(second.userId, [])).toBe(403)
  expect(await leave(second.userId, ['write:sandboxes', 'delete:sandboxes'])).toBe(403)
  expect(await leave(member.userId, [])).toBe(403)
  expect(await leave(member.userId, ['write:sandboxes'])).toBe(403)
  expect(await leave(member.userId, ['write:sandboxes', 'delete:sandboxes'])).toBe(204)
  expect(await leave(second.userId, permissions)).toBe(204)
})
