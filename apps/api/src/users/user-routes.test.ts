import { createPublicKey } from 'node:crypto'
import { User, UserEntity } from '@atoll/protocol'
import type { InjectOptions } from 'fastify'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { TestApi, TestPrincipal } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'

let api: TestApi
let admin: TestPrincipal
let user: TestPrincipal

beforeEach(async () => {
  api = await createTestApi()
  admin = await api.createPrincipal({ systemRole: 'admin' })
  user = await api.createPrincipal({ permissions: [] })
})
afterEach(() => api[Symbol.asyncDispose]())

test('everybody sees themselves, with any key', async () => {
  const answer = await call('GET', '/users/me', { as: user })
  expect(answer.statusCode).toBe(200)
  expect(Value.Check(User, answer.json())).toBe(true)
  expect(answer.json()).toMatchObject({ id: user.userId, name: 'Ada', email: '', publicKeys: [] })
  expect(answer.json()).not.toHaveProperty('role')
})

test('only an administrator sees and makes users', async () => {
  const { userId } = user
  const calls = [
    call('GET', '/users', { as: user }),
    call('GET', `/users/${userId}`, { as: user }),
    call('POST', '/users', { as: user, body: { id: 'eve', name: 'Eve', role: 'admin' } }),
    call('POST', `/users/${userId}/regenerate-key-pair`, { as: user }),
  ]
  for (const { statusCode } of await Promise.all(calls)) expect(statusCode).toBe(403)
})

test('a new user has an organization and a key pair, whose private half is sealed and never shown', async () => {
  const body = { id: 'github|17', name: 'Grace', email: 'grace@example.org' }
  const answer = await call('POST', '/users', { body })
  expect(answer.statusCode).toBe(201)
  const made = answer.json<UserEntity>()
  expect(Value.Check(UserEntity, made)).toBe(true)
  expect(made).toMatchObject({ ...body, role: 'user', emailVerified: true })
  expect(createPublicKey(made.keyPair?.publicKey ?? '').asymmetricKeyType).toBe('rsa')
  expect(made.publicKeys).toEqual([{ name: 'default', key: made.keyPair?.publicKey }])
  const [row] = await api.database.sql`select * from users where id = ${body.id}`
  expect(JSON.stringify([row, answer.body])).not.toContain('PRIVATE KEY')
  const organizations = await api.database.sql`
    select o.name, o.personal, o.suspended, m.role from organizations o
    join organization_users m on m.organization_id = o.id where m.user_id = ${body.id}`
  expect([...organizations]).toEqual([{ name: 'Personal', personal: true, suspended: false, role: 'owner' }])
})

test('somebody whose email is not verified has a suspended organization', async () => {
  await call('POST', '/users', { body: { id: 'u', name: 'U', email: 'u@example.org', emailVerified: false } })
  const [row] = await api.database.sql`
    select suspended, suspended_at is not null as since, suspension_reason from organizations where created_by = 'u'`
  expect(row).toEqual({ suspended: true, since: true, suspension_reason: 'Verify your email address' })
})

test.each([
  ['the usual ones', {}, { cpu: 10, disk: 30, sandboxes: null, snapshots: 100 }],
  ["today's names", { totalCpuQuota: 2, snapshotQuota: -1 }, { cpu: 2, disk: 30, sandboxes: null, snapshots: null }],
  [
    'names of the older generation',
    { totalDiskQuota: null, workspaceQuota: 3, imageQuota: 7 },
    { cpu: 10, disk: 30, sandboxes: 3, snapshots: 7 },
  ],
])('a new user gets the quotas that are asked for: %s', async (_name, quota, expected) => {
  const body = { id: 'u', name: 'U', personalOrganizationQuota: quota }
  expect((await call('POST', '/users', { body })).statusCode).toBe(201)
  const [row] = await api.database.sql`
    select cpu_quota as cpu, disk_gib_quota as disk, sandbox_quota as sandboxes, snapshot_quota as snapshots
    from organizations where created_by = 'u'`
  expect(row).toEqual(expected)
})

test('an id is taken once, whoever comes at once', async () => {
  const answers = await Promise.all([1, 2, 3].map(() => call('POST', '/users', { body: { id: 'one', name: 'One' } })))
  expect(answers.map(({ statusCode }) => statusCode).sort()).toEqual([201, 409, 409])
})

test.each([
  [{ name: 'x' }, 'id'],
  [{ id: '', name: 'x' }, 'body.id'],
  [{ id: 'x', name: 5 }, 'body.name'],
  [{ id: 'x', name: 'x', role: 'root' }, 'body.role'],
  [{ id: 'x'.repeat(256), name: 'x' }, 'body.id'],
  [{ id: 'x', name: 'x', personalOrganizationQuota: 5 }, 'body.personalOrganizationQuota'],
  [{ id: 'x', name: 'x', personalOrganizationQuota: { totalCpuQuota: 'all' } }, 'totalCpuQuota'],
])('%j is 400', async (body, field) => {
  const answer = await call('POST', '/users', { body })
  expect(answer.statusCode).toBe(400)
  expect(answer.json().message).toContain(field)
})

test('users are listed and found, and an unknown id is 404', async () => {
  const listed = (await call('GET', '/users')).json<UserEntity[]>()
  expect(listed.map(({ id }) => id)).toEqual([admin.userId, user.userId])
  expect((await call('GET', `/users/${user.userId}`)).json()).toMatchObject({ id: user.userId, role: 'user' })
  expect((await call('GET', '/users/nobody')).statusCode).toBe(404)
  expect((await call('POST', '/users/nobody/regenerate-key-pair')).statusCode).toBe(404)
})

test('a key pair can be made anew', async () => {
  const first = (await call('POST', `/users/${user.userId}/regenerate-key-pair`)).json<UserEntity>()
  const second = await call('POST', `/users/${user.userId}/regenerate-key-pair`)
  expect(second.statusCode).toBe(201)
  expect(second.json().keyPair.publicKey).not.toBe(first.keyPair?.publicKey)
  const me = (await call('GET', '/users/me', { as: user })).json<User>()
  expect(me.publicKeys).toEqual([{ name: 'default', key: second.json().keyPair.publicKey }])
})

function call(method: 'GET' | 'POST', path: string, options: { as?: TestPrincipal; body?: object } = {}) {
  const { as = admin, body } = options
  const request: InjectOptions = { method, url: `/api${path}`, headers: as.headers }
  return api.app.inject(body === undefined ? request : { ...request, payload: body })
}
