import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import { users } from '../users/user-table.ts'
import type { Queryable } from './database.ts'

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
  expect(await database.isReachable(60_000)).toBe(true)
  await database.close()
  expect(await database.isReachable(60_000)).toBe(false)
})

test('a transaction whose connection is lost fails as a whole, and harms nobody else', async () => {
  await using database = await createTestDatabase()
  const { db } = database
  const backendOf = async (tx: Queryable) => Number((await tx.execute(sql`select pg_backend_pid() as pid`))[0]?.['pid'])
  const lost = database.transaction(async (tx) => {
    await tx.insert(users).values({ id: 'u1', name: 'Ada', role: 'user' })
    await db.execute(sql`select pg_terminate_backend(${await backendOf(tx)}, 5000)`)
    // The lost connection serves other queries again before this transaction goes on.
    await Promise.all(Array.from({ length: 30 }, () => db.execute(sql`select 1`).catch(() => undefined)))
    await tx.insert(users).values({ id: 'u2', name: 'Bea', role: 'user' })
  })
  await expect(lost).rejects.toThrow()
  expect(await db.select().from(users)).toEqual([])
})

test('every connection of the pool works again after all were cut in the middle of queries', async () => {
  await using database = await createTestDatabase()
  const others = sql`select pg_terminate_backend(pid) from pg_stat_activity
    where pid <> pg_backend_pid() and datname = current_database()`
  for (let round = 0; round < 5; round++) {
    const transactions = Array.from({ length: 8 }, (_, number) =>
      database.transaction(async (tx) => {
        for (let step = 0; step < 20; step++) await tx.execute(sql`select ${number}::int + ${step}::int`)
      }),
    )
    const settled = Promise.allSettled(transactions)
    await database.db.execute(others).catch(() => undefined)
    await settled
  }
  // More transactions than connections run at once, after the last lost connection was noticed: none may be lost or
  // stuck.
  await until('every connection works', async () => {
    const work = Array.from({ length: 20 }, () => database.transaction((tx) => tx.execute(sql`select pg_sleep(0.05)`)))
    return (await Promise.allSettled(work)).every(({ status }) => status === 'fulfilled')
  })
})
