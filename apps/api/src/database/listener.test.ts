import { randomUUID } from 'node:crypto'
import { createLogger } from '@atoll/service'
import { expect, test } from 'vitest'
import { createTestDatabase } from '../testing/test-database.ts'
import { until } from '../testing/until.ts'
import { createListener } from './listener.ts'

const log = createLogger('test', 'silent')

test('a notification reaches every subscriber of its channel and nobody else', async () => {
  await using database = await createTestDatabase()
  await using heard = listen(database)
  await until('listening', () => heard.begun === 2)
  await database.sql.notify('fruit', 'pear')
  await until('heard', () => heard.fruit.length === 1)
  expect(heard.fruit).toEqual(['pear'])
  expect(heard.stone).toEqual([])
})

test('after the connection is lost it listens again and says so', async () => {
  await using database = await createTestDatabase()
  await using heard = listen(database)
  await until('listening', () => heard.begun === 2)
  await database.sql`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and query ilike 'listen%' and pid <> pg_backend_pid()`
  await until('listening again', () => heard.begun === 4)
  await database.sql.notify('fruit', 'plum')
  await until('heard', () => heard.fruit.length === 1)
})

test('it goes on trying while the database refuses', async () => {
  await using database = await createTestDatabase()
  // Roles belong to the whole server, which other tests use too.
  const guest = `guest_${randomUUID().replaceAll('-', '')}`
  await database.sql.unsafe(`create role ${guest}`)
  await database.sql.unsafe(`alter role ${guest} with nologin`)
  await using heard = listen({ address: { ...database.address, user: guest } })
  await until('refused at least once', () => heard.refusals > 0)
  await database.sql.unsafe(`alter role ${guest} with login`)
  await until('listening', () => heard.begun === 2)
  await database.sql.unsafe(`drop role ${guest}`)
})

test('it can be closed before it is connected', async () => {
  await using database = await createTestDatabase()
  const listener = createListener({ address: database.address, log })
  listener.start()
  await listener.close()
})

function listen(database: { address: Parameters<typeof createListener>[0]['address'] }) {
  const heard = { begun: 0, refusals: 0, fruit: [] as string[], stone: [] as string[] }
  const counting = log.child({}, { level: 'warn' })
  counting.warn = () => {
    heard.refusals += 1
  }
  const listener = createListener({ address: database.address, log: counting })
  for (const channel of ['fruit', 'stone'] as const) {
    listener.subscribe(channel, {
      onNotify: (payload) => heard[channel].push(payload),
      onListening: () => {
        heard.begun += 1
      },
    })
  }
  listener.start()
  return Object.assign(heard, { [Symbol.asyncDispose]: () => listener.close() })
}
