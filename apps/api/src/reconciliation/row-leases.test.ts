import { randomUUID } from 'node:crypto'
import { sql } from 'drizzle-orm'
import { expect, test } from 'vitest'
import { createPrincipal } from '../testing/test-api.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { volumes } from '../volumes/volume-table.ts'
import { createRowLeases } from './row-leases.ts'

const HOUR_MS = 3_600_000

test('a row of no runner goes to who can call one, and to others only when it has stood for a while', async () => {
  await using database = await createTestDatabase()
  const { organizationId } = await createPrincipal(database)
  const add = async (changedAt: Date) => {
    const at = { changedAt, createdAt: changedAt, updatedAt: changedAt }
    const values = { organizationId, name: randomUUID(), state: 'pending_create' as const, ...at }
    const [row] = await database.db.insert(volumes).values(values).returning()
    return row?.id
  }
  const [fresh, standing] = [await add(new Date()), await add(new Date(Date.now() - 2 * HOUR_MS))]
  const leases = createRowLeases({ db: database.db, table: volumes, due: sql`state = 'pending_create'` })
  const lease = (runnerIds: string[]) => leases.lease({ owner: randomUUID(), runnerIds, limit: 10, leaseMs: HOUR_MS })
  expect(await lease([])).toEqual([standing])
  expect(await lease([])).toEqual([])
  expect(await lease([randomUUID()])).toEqual([fresh])
})
