import { ApiKeyList, ApiKeyResponse } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import type { InjectOptions } from 'fastify'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createApi } from '../app.ts'
import { permissions } from '../auth/permission.ts'
import type { TestApi, TestPrincipal } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'
import { MAX_KEYS_OF_A_USER } from './api-key-store.ts'

let api: TestApi
let owner: TestPrincipal

beforeEach(async () => {
  api = await createTestApi()
  owner = await api.createPrincipal()
})
afterEach(() => api[Symbol.asyncDispose]())

test('a key is shown whole once, and masked afterwards', async () => {
  const answer = await create({ name: 'ci', permissions: ['write:sandboxes'] })
  expect(answer.statusCode).toBe(201)
  const made = answer.json<ApiKeyResponse>()
  expect(Value.Check(ApiKeyResponse, made)).toBe(true)
  expect(made).toMatchObject({ name: 'ci', permissions: ['write:sandboxes'], expiresAt: null })
  expect(made.value).toMatch(/^dtn_[0-9a-f]{64}$/)
  const shown = (await call('GET', '/api-keys/ci')).json<ApiKeyList>()
  expect(Value.Check(ApiKeyList, shown)).toBe(true)
  expect(shown).toMatchObject({
    name: 'ci',
    value: `dtn${'*'.repeat(20)}${made.value.slice(-3)}`,
    lastUsedAt: null,
    expiresAt: null,
    userId: owner.userId,
    organizationId: owner.organizationId,
  })
})

test('a new key works at once, and within its permissions', async () => {
  const key = await keyOf({ name: 'reader', permissions: ['read:volumes'] })
  expect((await call('GET', '/sandbox', key)).statusCode).toBe(200)
  expect((await call('POST', '/sandbox', key)).statusCode).toBe(403)
})

test('nobody can give what they lack', async () => {
  const key = await keyOf({ name: 'small', permissions: ['write:sandboxes'] })
  const refused = await create({ name: 'large', permissions: ['write:sandboxes', 'delete:sandboxes'] }, key)
  expect(refused.statusCode).toBe(403)
  expect(refused.json().message).toContain('delete:sandboxes')
  expect((await create({ name: 'same', permissions: ['write:sandboxes'] }, key)).statusCode).toBe(201)
})

test('older names of permissions become those of today', async () => {
  const answer = await create({ name: 'old', permissions: ['write:images', 'delete:images', 'write:snapshots'] })
  expect(answer.json()).toMatchObject({ permissions: ['write:snapshots', 'delete:snapshots'] })
})

test('a name is taken once for a user and an organization', async () => {
  const body = { name: 'twice', permissions: ['write:sandboxes'] }
  const answers = await Promise.all(Array.from({ length: 8 }, () => create(body)))
  const statuses = answers.map(({ statusCode }) => statusCode).sort()
  expect(statuses).toEqual([201, ...Array.from({ length: 7 }, () => 409)])
  expect((await create(body, await api.createPrincipal())).statusCode).toBe(201)
})

test.each([
  ['no name', { permissions: ['write:sandboxes'] }, 'name'],
  ['an empty name', { name: '', permissions: ['write:sandboxes'] }, 'body.name'],
  ['a long name', { name: 'x'.repeat(256), permissions: ['write:sandboxes'] }, 'body.name'],
  ['no permissions', { name: 'a' }, 'permissions'],
  ['empty permissions', { name: 'a', permissions: [] }, 'body.permissions'],
  ['an unknown permission', { name: 'a', permissions: ['do:anything'] }, 'body.permissions.0'],
  ['a permission that every object has', { name: 'a', permissions: ['toString'] }, 'body.permissions.0'],
  ['a number for a time', { name: 'a', permissions: ['write:sandboxes'], expiresAt: 5 }, 'body.expiresAt'],
  ['no time', { name: 'a', permissions: ['write:sandboxes'], expiresAt: 'tomorrow' }, 'body.expiresAt'],
])('%s is 400', async (_name, body, field) => {
  const answer = await create(body)
  expect(answer.statusCode).toBe(400)
  expect(answer.json().message).toContain(field)
})

test('a name may hold any character', async () => {
  for (const name of ['a/b', '../..', 'ключ 🔑', '%2F', '?x=1#y', ' ', 'current']) {
    expect((await create({ name, permissions: ['write:sandboxes'] })).statusCode).toBe(201)
    const path = `/api-keys/${encodeURIComponent(name)}`
    if (name !== 'current') expect((await call('GET', path)).json()).toMatchObject({ name })
    expect((await call('DELETE', path)).statusCode).toBe(204)
    expect((await call('DELETE', path)).statusCode).toBe(404)
  }
})

test('a key deletes itself and keys that may do no more than it, unless it manages keys', async () => {
  const [small, equal, large] = [['write:sandboxes'], ['write:sandboxes'], ['write:sandboxes', 'delete:sandboxes']]
  const key = await keyOf({ name: 'small', permissions: small })
  await keyOf({ name: 'equal', permissions: equal })
  await keyOf({ name: 'large', permissions: large })
  const manager = await keyOf({ name: 'manager', permissions: ['manage:api_keys'] })
  const refused = await call('DELETE', '/api-keys/large', key)
  expect(refused.statusCode).toBe(403)
  expect(refused.json().message).toContain('delete:sandboxes')
  expect((await call('DELETE', '/api-keys/manager', key)).statusCode).toBe(403)
  expect((await call('DELETE', '/api-keys/nowhere', key)).statusCode).toBe(404)
  expect((await call('DELETE', '/api-keys/equal', key)).statusCode).toBe(204)
  expect((await call('DELETE', '/api-keys/small', key)).statusCode).toBe(204)
  expect((await call('DELETE', '/api-keys/large', manager)).statusCode).toBe(204)
})

test('an expired key is refused', async () => {
  const expiresAt = new Date(Date.now() - 1_000).toISOString()
  const key = await keyOf({ name: 'past', permissions: ['write:sandboxes'], expiresAt })
  const answer = await call('GET', '/sandbox', key)
  expect(answer.statusCode).toBe(401)
  expect(answer.json().message).toContain('expired')
})

test('a key with an end makes none that outlives it', async () => {
  const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString()
  const permissions = ['write:sandboxes']
  const key = await keyOf({ name: 'short', permissions, expiresAt: inHours(1) })
  for (const expiresAt of [undefined, null, inHours(2)]) {
    expect((await create({ name: 'long', permissions, expiresAt }, key)).statusCode).toBe(403)
  }
  expect((await create({ name: 'shorter', permissions, expiresAt: inHours(0.5) }, key)).statusCode).toBe(201)
})

test('a user has a bounded number of keys in an organization', async () => {
  await api.database.sql`
    insert into api_keys (organization_id, user_id, name, key_hash, key_prefix, key_suffix, permissions)
    select ${owner.organizationId}, ${owner.userId}, 'key ' || n, encode(sha256(('key ' || n)::bytea), 'hex'), 'dtn', 'abc', '{}'
    from generate_series(1, ${MAX_KEYS_OF_A_USER}) as n`
  const refused = await create({ name: 'more', permissions: ['write:sandboxes'] })
  expect([refused.statusCode, refused.json().code]).toEqual([403, 'QUOTA_EXCEEDED'])
  expect((await call('DELETE', '/api-keys/key%201')).statusCode).toBe(204)
  expect((await call('DELETE', '/api-keys/key%202')).statusCode).toBe(204)
  expect((await create({ name: 'more', permissions: ['write:sandboxes'] })).statusCode).toBe(201)
})

test('the key of the call knows itself', async () => {
  const key = await keyOf({ name: 'me', permissions: ['write:sandboxes'] })
  expect((await call('GET', '/api-keys/current', key)).json()).toMatchObject({ name: 'me' })
})

test('keys are listed by last use, those never used after them, the newest first', async () => {
  for (const name of ['first', 'second', 'third']) await keyOf({ name, permissions: ['write:sandboxes'] })
  await api.database.sql`update api_keys set last_used_at = now() + interval '1 hour' where name = 'first'`
  await api.database.sql`update api_keys set last_used_at = now() + interval '2 hours' where name = 'test'`
  const listed = (await call('GET', '/api-keys')).json<ApiKeyList[]>()
  expect(Value.Check(Type.Array(ApiKeyList), listed)).toBe(true)
  expect(listed.map(({ name }) => name)).toEqual(['test', 'first', 'third', 'second'])
})

test('keys of others are unknown, but to who manages the keys of the organization', async () => {
  const member = await api.createPrincipal()
  const { sql } = api.database
  await sql`insert into organization_users values (${owner.organizationId}, ${member.userId}, 'member')`
  await sql`update api_keys set organization_id = ${owner.organizationId}, name = 'theirs' where user_id = ${member.userId}`
  const names = async (as: TestPrincipal, version = '0.23.1') => {
    const headers = { ...as.headers, 'x-daytona-sdk-version': version }
    const answer = await api.app.inject({ url: '/api/api-keys', headers })
    return answer.json<ApiKeyList[]>().map(({ name }) => name)
  }
  await until('the member is seen', async () => (await names(member)).length === 1)
  expect(await names(owner)).toEqual(['test'])
  expect((await names(owner, '0.218.0')).sort()).toEqual(['test', 'theirs'])
  expect(await names(member, '0.218.0')).toEqual(['theirs'])
  expect((await call('GET', '/api-keys/theirs')).statusCode).toBe(404)
  expect((await call('DELETE', `/api-keys/${owner.userId}/test`, member)).statusCode).toBe(403)
  const stranger = await api.createPrincipal()
  expect((await call('DELETE', `/api-keys/${member.userId}/theirs`, stranger)).statusCode).toBe(404)
  expect((await call('DELETE', `/api-keys/${member.userId}/theirs`)).statusCode).toBe(200)
  await until('the key is refused', async () => (await call('GET', '/sandbox', member)).statusCode === 401)
})

test('a deleted key is refused on another replica', async () => {
  await using other = await createApi({
    config: api.config,
    secrets: api.secrets,
    address: api.database.address,
    log: createLogger('other', 'silent'),
  })
  const key = await keyOf({ name: 'shared', permissions: [...permissions] })
  const onOther = () => other.app.inject({ url: '/api/sandbox', headers: key.headers })
  expect((await onOther()).statusCode).toBe(200)
  expect((await call('DELETE', '/api-keys/shared')).statusCode).toBe(204)
  await until('the other refuses it', async () => (await onOther()).statusCode === 401)
})

test('use is recorded', async () => {
  const key = await keyOf({ name: 'used', permissions: ['write:sandboxes'] })
  await call('GET', '/sandbox', key)
  const shown = async () => (await call('GET', '/api-keys/used')).json<ApiKeyList>()
  await until('its use is written', async () => (await shown()).lastUsedAt !== null)
})

function call(method: 'GET' | 'POST' | 'DELETE', path: string, as: Pick<TestPrincipal, 'headers'> = owner) {
  return api.app.inject({ method, url: `/api${path}`, headers: as.headers })
}

function create(payload: NonNullable<InjectOptions['payload']>, as: Pick<TestPrincipal, 'headers'> = owner) {
  return api.app.inject({ method: 'POST', url: '/api/api-keys', headers: as.headers, payload })
}

async function keyOf(body: object): Promise<{ headers: { authorization: string } }> {
  const { value } = (await create(body)).json<ApiKeyResponse>()
  return { headers: { authorization: `Bearer ${value}` } }
}
