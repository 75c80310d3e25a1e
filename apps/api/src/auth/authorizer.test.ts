import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { expect, test } from 'vitest'
import { createListener } from '../database/listener.ts'
import { createMembershipStore } from '../organizations/membership-store.ts'
import { createPrincipal } from '../testing/test-api.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import type { Membership } from './authorizer.ts'
import { createAuthorizer } from './authorizer.ts'
import { createMembershipCache } from './membership-cache.ts'
import { permissions } from './permission.ts'
import type { Caller, Principal } from './principal.ts'

const MINE = randomUUID()
const FOREIGN = randomUUID()
const developer: Membership = { role: 'member', permissions: new Set(['write:sandboxes']) }
const user: Caller = { kind: 'accessToken', userId: 'ada', systemRole: 'user' }
const administrator: Caller = { ...user, systemRole: 'admin' }
const key: Principal = { ...user, kind: 'apiKey', apiKeyId: randomUUID(), organizationId: MINE, ...developer }

const { authorize } = authorizerOf(developer)

test('an access token acts in the organization that the header names', async () => {
  expect(await authorize(user, 'write:sandboxes', { inHeader: MINE })).toEqual({
    ...user,
    organizationId: MINE,
    ...developer,
  })
})

test('an access token without the header, or with a foreign organization in it, is forbidden', async () => {
  for (const inHeader of [undefined, FOREIGN, randomUUID(), 'nonsense']) {
    await expect(authorize(user, 'membership', { inHeader })).rejects.toMatchObject({ code: 'FORBIDDEN' })
  }
})

test('a member needs the permission, an owner has all of them', async () => {
  await expect(authorize(user, 'delete:sandboxes', { inHeader: MINE })).rejects.toThrow('lack the permission')
  await expect(authorize(user, 'owner', { inHeader: MINE })).rejects.toThrow('Only an owner')
  const owner = authorizerOf({ role: 'owner', permissions: new Set() })
  for (const access of ['owner', ...permissions] as const) {
    expect(await owner.authorize(user, access, { inHeader: MINE })).toMatchObject({ role: 'owner' })
  }
})

test('a key of an owner acts as one only when it may do everything', async () => {
  const ownerKey: Principal = { ...key, role: 'owner', permissions: new Set(permissions) }
  expect(await authorize(ownerKey, 'owner', { inPath: MINE })).toBe(ownerKey)
  const older: Principal = { ...ownerKey, permissions: new Set(permissions.slice(0, 9)) }
  expect(await authorize(older, 'owner', {})).toBe(older)
  const lesser: Principal = { ...ownerKey, permissions: new Set(permissions.slice(0, 8)) }
  await expect(authorize(lesser, 'owner', {})).rejects.toMatchObject({ code: 'FORBIDDEN' })
})

test('an organization in the path that is not the caller’s looks like one that does not exist', async () => {
  const attempts = [user, key].flatMap((caller) =>
    [FOREIGN, randomUUID()].map((inPath) => authorize(caller, 'membership', { inPath })),
  )
  for (const attempt of attempts) await expect(attempt).rejects.toMatchObject({ code: 'ORGANIZATION_NOT_FOUND' })
  expect(await authorize(key, 'membership', { inPath: MINE })).toBe(key)
})

test('the key’s own organization counts, whatever the header names', async () => {
  expect(await authorize(key, 'write:sandboxes', { inHeader: FOREIGN })).toBe(key)
})

test('an administrator is an owner everywhere, but nowhere that does not exist', async () => {
  expect(await authorize(administrator, 'owner', { inPath: FOREIGN })).toMatchObject({ organizationId: FOREIGN })
  await expect(authorize(administrator, 'owner', { inPath: randomUUID() })).rejects.toThrow('not found')
  await expect(authorize(user, 'administrator', {})).rejects.toMatchObject({ code: 'FORBIDDEN' })
  expect(await authorize(administrator, 'administrator', {})).toBeUndefined()
})

test('an administrator in an organization is one with it, by key or header', async () => {
  expect(await authorize(administrator, 'administratorInOrganization', { inHeader: FOREIGN })).toMatchObject({
    ...{ organizationId: FOREIGN, systemRole: 'admin' },
  })
  const adminKey: Principal = { ...key, systemRole: 'admin', permissions: new Set() }
  expect(await authorize(adminKey, 'administratorInOrganization', {})).toBe(adminKey)
  await expect(authorize(administrator, 'administratorInOrganization', {})).rejects.toThrow(
    'must name the organization',
  )
  const owner = authorizerOf({ role: 'owner', permissions: new Set(permissions) })
  await expect(owner.authorize(user, 'administratorInOrganization', { inHeader: MINE })).rejects.toThrow(
    'Only an administrator',
  )
})

test('anybody may call what needs no organization', async () => {
  expect(await authorize(user, 'caller', {})).toBeUndefined()
  expect(await authorize(key, 'caller', {})).toBe(key)
})

test('the key of the preview proxy may read where sandboxes run, and nothing else', async () => {
  const proxy: Caller = { kind: 'serviceKey', service: 'proxy', userId: 'service:proxy', systemRole: 'user' }
  expect(await authorize(proxy, 'administratorOrProxy', {})).toBeUndefined()
  const others = [
    'caller',
    'membership',
    'owner',
    'administrator',
    'administratorInOrganization',
    ...permissions,
  ] as const
  for (const access of others) {
    await expect(authorize(proxy, access, { inHeader: MINE })).rejects.toMatchObject({ code: 'FORBIDDEN' })
    await expect(authorize(proxy, access, { inPath: MINE })).rejects.toMatchObject({ code: 'FORBIDDEN' })
  }
  expect(await authorize(administrator, 'administratorOrProxy', {})).toBeUndefined()
  await expect(authorize(user, 'administratorOrProxy', {})).rejects.toMatchObject({ code: 'FORBIDDEN' })
})

test('roles give what they allow, and a change of them counts at once', async () => {
  await using database = await createTestDatabase()
  const { organizationId, userId } = await createPrincipal(database)
  const { sql } = database
  await sql`update organization_users set role = 'member'`
  const listener = createListener({ address: database.address, log: createLogger('test', 'silent') })
  let lookups = 0
  const store = createMembershipStore(database.db)
  const find = createMembershipCache({
    listener,
    find: (...names) => {
      lookups += 1
      return store.find(...names)
    },
  })
  let isListening = false
  listener.subscribe('principal_changed', { onNotify: () => undefined, onListening: () => (isListening = true) })
  listener.start()
  try {
    await until('it listens', () => Promise.resolve(isListening))
    expect(await find(userId, organizationId)).toEqual({ role: 'member', permissions: new Set() })
    await find(userId, organizationId)
    expect(lookups).toBe(1)
    await sql`insert into organization_user_roles values (${organizationId}, ${userId}, '00000000-0000-0000-0000-000000000006')`
    await until('the role counts', async () => (await find(userId, organizationId))?.permissions.size === 3)
    await sql`delete from organization_users`
    await until('the member is gone', async () => (await find(userId, organizationId)) === null)
    expect(await find(userId, randomUUID())).toBeUndefined()
  } finally {
    await listener.close()
  }
})

function authorizerOf(membership: Membership) {
  return createAuthorizer({
    findMembership: async (_userId, organizationId) => {
      if (organizationId === MINE) return membership
      return organizationId === FOREIGN ? null : undefined
    },
  })
}
