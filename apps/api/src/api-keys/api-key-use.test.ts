import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { createPrincipal } from '../testing/test-api.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import type { ApiKeyStore } from './api-key-store.ts'
import { createApiKeyStore } from './api-key-store.ts'
import { createApiKeyUse } from './api-key-use.ts'

const log = createLogger('test', 'silent')

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'Date'], now: 1_000_000 })
})
afterEach(() => {
  vi.useRealTimers()
})

test('a thousand uses of a key in a second are one write of the last', async () => {
  const { store, writes } = fakeStore()
  const use = createApiKeyUse({ store, log, now: Date.now })
  for (let call = 0; call < 1_000; call++) {
    vi.setSystemTime(1_000_000 + call)
    use.record('a')
  }
  await vi.advanceTimersByTimeAsync(1_000)
  expect(writes).toEqual([[{ apiKeyId: 'a', usedAt: new Date(1_000_999) }]])
  await vi.advanceTimersByTimeAsync(60_000)
  expect(writes).toHaveLength(1)
})

test('many keys are written in bounded batches, one a second', async () => {
  const { store, writes } = fakeStore()
  const use = createApiKeyUse({ store, log, now: Date.now })
  for (let key = 0; key < 1_200; key++) use.record(`key-${key}`)
  await vi.advanceTimersByTimeAsync(1_000)
  await vi.advanceTimersByTimeAsync(1_000)
  await vi.advanceTimersByTimeAsync(1_000)
  expect(writes.map((batch) => batch.length)).toEqual([500, 500, 200])
})

test('what is remembered between writes is bounded', async () => {
  const { store, writes } = fakeStore()
  const use = createApiKeyUse({ store, log, now: Date.now })
  for (let key = 0; key < 20_000; key++) use.record(`key-${key}`)
  await use.close()
  expect(writes.flat()).toHaveLength(10_000)
})

test('closing writes what is pending', async () => {
  const { store, writes } = fakeStore()
  const use = createApiKeyUse({ store, log, now: Date.now })
  use.record('a')
  await use.close()
  use.record('b')
  await vi.advanceTimersByTimeAsync(5_000)
  expect(writes).toEqual([[{ apiKeyId: 'a', usedAt: new Date(1_000_000) }]])
})

test('a write that fails is given up, and the next goes on', async () => {
  const { store, writes } = fakeStore()
  let failures = 1
  const recordUse: ApiKeyStore['recordUse'] = async (batch) => {
    if (failures-- > 0) throw new Error('no database')
    return store.recordUse(batch)
  }
  const use = createApiKeyUse({ store: { ...store, recordUse }, log, now: Date.now })
  use.record('a')
  await vi.advanceTimersByTimeAsync(1_000)
  use.record('b')
  await vi.advanceTimersByTimeAsync(1_000)
  expect(writes.flat().map(({ apiKeyId }) => apiKeyId)).toEqual(['b'])
})

test('a write moves the time forward only, and passes over keys that are gone', async () => {
  vi.useRealTimers()
  await using database = await createTestDatabase()
  const store = createApiKeyStore(database.db)
  await createPrincipal(database)
  const [row] = await database.sql<{ id: string }[]>`select id from api_keys`
  const apiKeyId = row?.id ?? ''
  const lastUsed = async () =>
    (await database.sql`select last_used_at at time zone 'utc' as at from api_keys`)[0]?.['at']
  await store.recordUse([
    { apiKeyId, usedAt: new Date('2026-01-02T00:00:00Z') },
    { apiKeyId: randomUUID(), usedAt: new Date() },
  ])
  expect(String(await lastUsed())).toContain('2026-01-02')
  await store.recordUse([{ apiKeyId, usedAt: new Date('2026-01-01T00:00:00Z') }])
  expect(String(await lastUsed())).toContain('2026-01-02')
})

function fakeStore() {
  const writes: { apiKeyId: string; usedAt: Date }[][] = []
  const store: Pick<ApiKeyStore, 'recordUse'> = {
    recordUse: async (batch) => {
      writes.push([...batch])
    },
  }
  return { store, writes }
}
