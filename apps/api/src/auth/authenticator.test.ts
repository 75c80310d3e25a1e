import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { generateApiKey } from '../api-keys/api-key.ts'
import { createApiKeyStore } from '../api-keys/api-key-store.ts'
import type { DatabaseListener } from '../database/listener.ts'
import { createListener } from '../database/listener.ts'
import { createPrincipal } from '../testing/test-api.ts'
import type { TestDatabase } from '../testing/test-database.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import type { Authenticator } from './authenticator.ts'
import { createAuthenticator } from './authenticator.ts'
import { createFailureGate } from './failure-gate.ts'
import { createKeyVerifier } from './key-verifier.ts'
import { PRINCIPAL_CHANNEL } from './principal.ts'

const log = createLogger('test', 'silent')
let database: TestDatabase
let listener: DatabaseListener
let authenticator: Authenticator
let lookups: number
/** The number of lookups that have read the database. */
let reads: number
let used: string[]
let now: number
/** While set, lookups wait for it after they have read the database. */
let gate: Promise<void> | undefined
let isListening: boolean
let changesHeard: number

beforeEach(async () => {
  database = await createTestDatabase()
  listener = createListener({ address: database.address, log })
  const store = createApiKeyStore(database.db)
  lookups = 0
  reads = 0
  used = []
  now = Date.now()
  gate = undefined
  isListening = false
  changesHeard = 0
  const keys = createKeyVerifier({
    findHolder: async (keyHash) => {
      lookups += 1
      const holder = await store.findHolder(keyHash)
      reads += 1
      await gate
      return holder
    },
    onUse: (apiKeyId) => used.push(apiKeyId),
    gate: createFailureGate(() => now),
    listener,
    now: () => now,
  })
  authenticator = createAuthenticator({ verifiers: [keys] })
})
afterEach(async () => {
  await listener.close()
  await database[Symbol.asyncDispose]()
})

test('a known key costs the database nothing', async () => {
  const { headers, userId, organizationId } = await createPrincipal(database)
  const first = await authenticator.authenticate(headers.authorization)
  for (let call = 0; call < 100; call++) await authenticator.authenticate(headers.authorization)
  expect(lookups).toBe(1)
  expect(used).toHaveLength(101)
  expect(first).toMatchObject({ kind: 'apiKey', userId, organizationId, role: 'owner', systemRole: 'user' })
})

test('calls that come at once with a new key share one query', async () => {
  const { headers } = await createPrincipal(database)
  await Promise.all(Array.from({ length: 50 }, () => authenticator.authenticate(headers.authorization)))
  expect(lookups).toBe(1)
})

test('an unknown key is looked up once', async () => {
  const authorization = `Bearer ${generateApiKey()}`
  for (let call = 0; call < 10; call++) {
    await expect(authenticator.authenticate(authorization)).rejects.toThrow('Invalid API key')
  }
  expect(lookups).toBe(1)
})

test('a source that shows too many unknown keys is told when to come back, and no other is', async () => {
  const { headers } = await createPrincipal(database)
  const { headers: uncached } = await createPrincipal(database)
  await authenticator.authenticate(headers.authorization, '203.0.113.1')
  const guess = (address: string) => authenticator.authenticate(`Bearer ${generateApiKey()}`, address)
  for (let call = 0; call < 100; call++) {
    await expect(guess('203.0.113.1')).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  }
  const before = lookups
  await expect(guess('203.0.113.1')).rejects.toMatchObject({
    code: 'RATE_LIMITED',
    headers: {
      'retry-after': '1',
      'x-ratelimit-limit-failed-auth': '100',
      'x-ratelimit-remaining-failed-auth': '0',
      'x-ratelimit-reset-failed-auth': '1',
    },
  })
  expect(lookups).toBe(before)
  await expect(guess('203.0.113.2')).rejects.toMatchObject({ code: 'UNAUTHORIZED' })
  await database.sql`update users set role = 'admin'`
  await authenticator.authenticate(headers.authorization, '203.0.113.1')
  await expect(authenticator.authenticate(uncached.authorization, '203.0.113.1')).rejects.toThrow('Too many')
  now += 1_000
  await authenticator.authenticate(uncached.authorization, '203.0.113.1')
})

test.each([
  ['no header', undefined, 'Unauthorized'],
  ['an empty header', '', 'Invalid API key'],
  ['another scheme', `Basic ${generateApiKey()}`, 'Invalid API key'],
  ['no key', 'Bearer ', 'Invalid API key'],
  ['a malformed key', 'Bearer dtn_123', 'Invalid API key'],
  ['a key and more', `Bearer ${generateApiKey()} x`, 'Invalid API key'],
  ['a key in upper case', `Bearer ${generateApiKey().toUpperCase()}`, 'Invalid API key'],
  ['a very long header', `Bearer ${'a'.repeat(10_000)}`, 'Invalid API key'],
])('%s is refused without a look at the database', async (_name, authorization, message) => {
  await expect(authenticator.authenticate(authorization)).rejects.toMatchObject({ code: 'UNAUTHORIZED', message })
  expect(lookups).toBe(0)
})

test('the scheme may be written in any case', async () => {
  const { apiKey } = await createPrincipal(database)
  await expect(authenticator.authenticate(`bearer ${apiKey}`)).resolves.toBeDefined()
})

test('a key works up to its expiry, also from memory', async () => {
  const { headers } = await createPrincipal(database, { expiresAt: new Date(now + 60_000) })
  await authenticator.authenticate(headers.authorization)
  now += 59_999
  await authenticator.authenticate(headers.authorization)
  now += 1
  await expect(authenticator.authenticate(headers.authorization)).rejects.toThrow('The API key has expired')
})

test.each([
  ['deleted', 'delete from api_keys', 'Invalid API key'],
  ['expired', "update api_keys set expires_at = now() - interval '1 day'", 'The API key has expired'],
  ['its holder removed', 'delete from organization_users', 'Invalid API key'],
])('a key that is %s stops working at once', async (_name, statement, message) => {
  const { headers } = await createPrincipal(database)
  await listening()
  await authenticator.authenticate(headers.authorization)
  await database.sql.unsafe(statement)
  await until('refused', async () => (await refusal(headers.authorization)) === message)
})

test.each([
  ['permissions', "update api_keys set permissions = '{}'", { permissions: new Set() }],
  ['role', "update organization_users set role = 'member'", { role: 'member' }],
  ['system role', "update users set role = 'admin'", { systemRole: 'admin' }],
])('a change of %s is seen at once', async (_name, statement, expected) => {
  const { headers } = await createPrincipal(database)
  await listening()
  await authenticator.authenticate(headers.authorization)
  await database.sql.unsafe(statement)
  const before = lookups
  await until('looked up again', async () => {
    await authenticator.authenticate(headers.authorization)
    return lookups > before
  })
  expect(await authenticator.authenticate(headers.authorization)).toMatchObject(expected)
})

test('what was read before a change is not remembered', async () => {
  const { headers } = await createPrincipal(database)
  await listening()
  let open: () => void = () => undefined
  gate = new Promise((resolve) => {
    open = resolve
  })
  const reading = authenticator.authenticate(headers.authorization)
  await until('read', () => reads === 1)
  await database.sql`delete from api_keys`
  // The authenticator subscribed first, so it has heard as well.
  await until('heard', () => changesHeard > 0)
  open()
  await reading
  await expect(authenticator.authenticate(headers.authorization)).rejects.toThrow('Invalid API key')
})

test('what an unknown permission is stored as gives nothing', async () => {
  const { headers } = await createPrincipal(database)
  await database.sql`update api_keys set permissions = '{write:sandboxes,do:anything}'`
  expect(await authenticator.authenticate(headers.authorization)).toMatchObject({
    permissions: new Set(['write:sandboxes']),
  })
})

async function refusal(authorization: string): Promise<string> {
  return authenticator.authenticate(authorization).then(
    () => 'accepted',
    (error: Error) => error.message,
  )
}

/** Starts the listener and waits until the authenticator hears changes. */
async function listening(): Promise<void> {
  listener.subscribe(PRINCIPAL_CHANNEL, {
    onNotify: () => {
      changesHeard += 1
    },
    onListening: () => {
      isListening = true
    },
  })
  listener.start()
  await until('listening', () => isListening)
}
