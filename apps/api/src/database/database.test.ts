import { expect, test } from 'vitest'
import { createTestDatabase } from '../testing/test-database.ts'
import { users } from '../users/user-table.ts'

test('a transaction that throws leaves nothing behind', async () => {
  await using database = await createTestDatabase()
  const work = database.transaction(async (tx) => {
    await tx.insert(users).values({ id: 'u1', name: 'Ada', role: 'user' })
    throw new Error('changed my mind')
  })
  await expect(work).rejects.toThrow('changed my mind')
  expect(await database.db.select().from(users)).toEqual([])
})

test('a transaction that resolves is kept', async () => {
  await using database = await createTestDatabase()
  await database.transaction((tx) => tx.insert(users).values({ id: 'u1', name: 'Ada', role: 'user' }))
  expect(await database.db.select().from(users)).toMatchObject([{ id: 'u1', createdAt: expect.any(Date) }])
})

test('a closed database is not reachable', async () => {
  await using database = await createTestDatabase()
  expect(await database.isReachable(5_000)).toBe(true)
  await database.close()
  expect(await database.isReachable(5_000)).toBe(false)
})
