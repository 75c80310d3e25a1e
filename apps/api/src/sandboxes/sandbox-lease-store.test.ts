import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { createReconciledSandboxes } from '../testing/reconciled-sandboxes.ts'
import { createSandboxLeaseStore } from './sandbox-lease-store.ts'

test('what is on no runner is leased to be deleted, by whoever looks, and for nothing else', async () => {
  await using world = await createReconciledSandboxes()
  const id = await world.insert()
  const leases = createSandboxLeaseStore(world.database)
  const lease = async (runnerIds: string[]) => {
    const rows = [
      ...(await leases.lease({ owner: randomUUID(), runnerIds, work: 'steps', limit: 10, leaseMs: 60_000 })),
      ...(await leases.lease({ owner: randomUUID(), runnerIds, work: 'transfers', limit: 10, leaseMs: 60_000 })),
    ]
    return rows.map((row) => row.id)
  }
  const { sql } = world.database
  await sql`update sandboxes set state = 'archived', runner_id = null, backup_id = ${randomUUID()} where id = ${id}`
  expect(await lease([])).toEqual([])
  expect(await lease([world.runnerId])).toEqual([])
  await sql`update sandboxes set desired_state = 'destroyed' where id = ${id}`
  expect(await lease([])).toEqual([id])
})
