import { createLogger } from '@atoll/service'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { ReconciledSandboxes } from '../testing/reconciled-sandboxes.ts'
import { createReconciledSandboxes } from '../testing/reconciled-sandboxes.ts'
import type { HistoryKeeper } from './history-keeper.ts'
import { createHistoryKeeper } from './history-keeper.ts'
import { createHistoryStore } from './history-store.ts'

const DAY_MS = 24 * 60 * 60 * 1_000
const DAYS = 30

let clock: number
let world: ReconciledSandboxes

beforeEach(async () => {
  clock = Date.parse('2026-01-01T00:00:00Z')
  world = await createReconciledSandboxes(() => clock)
  world.startReplica()
})
afterEach(() => world[Symbol.asyncDispose]())

function createKeeper(days = DAYS): HistoryKeeper {
  const log = createLogger('test', 'silent')
  return createHistoryKeeper({ store: createHistoryStore(world.database), days, log, now: () => clock })
}

async function destroyed(): Promise<string> {
  const id = await world.stopped('all')
  await world.command(id, 'delete')
  await world.untilSettled(id, 'destroyed')
  return id
}

async function isThere(id: string): Promise<boolean> {
  return (await world.store.findMany([id])).length > 0
}

it('R8a: a destroyed sandbox and its events are forgotten after so many days, and not a millisecond before', async () => {
  const id = await destroyed()
  clock += DAYS * DAY_MS
  await createKeeper().pass()
  expect([await isThere(id), (await world.store.events(id)).length > 0]).toEqual([true, true])
  clock += 1
  await createKeeper().pass()
  expect([await isThere(id), await world.store.events(id)]).toEqual([false, []])
})

it('R8a: what is not destroyed stays, however old, and so does what has a backup yet; old events of both go', async () => {
  const stopped = await world.stopped('all')
  const withBackup = await destroyed()
  await world.database.sql`
    insert into sandbox_backups (id, sandbox_id, state, of_change, bytes, sha256, created_at)
    values (gen_random_uuid(), ${withBackup}, 'kept', now(), 1, ${'a'.repeat(64)}, now())`
  clock += DAYS * DAY_MS + 1
  await createKeeper().pass()
  expect([await isThere(stopped), await isThere(withBackup)]).toEqual([true, true])
  expect([await world.store.events(stopped), await world.store.events(withBackup)]).toEqual([[], []])
})

it('R8a: what a lost runner may have yet stays until that has returned without it, or was removed', async () => {
  const id = await destroyed()
  await world.database.sql`
    insert into former_placements (sandbox_id, runner_id, left_at) values (${id}, ${world.runnerId}, now())`
  clock += DAYS * DAY_MS + 1
  await createKeeper().pass()
  expect(await isThere(id)).toBe(true)
  await world.database.sql`update former_placements set cleared_at = now()`
  await createKeeper().pass()
  expect(await isThere(id)).toBe(false)
})

it('R8a, L7: the event of a save stays while it tells that a former runner has needless files', async () => {
  const { sql } = world.database
  const id = await world.stopped('all')
  await world.command(id, 'archive')
  await world.untilSettled(id, 'archived')
  await sql`update former_placements set cleared_at = null`
  clock += DAYS * DAY_MS + 1
  await createKeeper().pass()
  expect((await world.store.events(id)).map(({ event }) => event)).toEqual(['saved'])
  await sql`update former_placements set cleared_at = now()`
  await createKeeper().pass()
  expect(await world.store.events(id)).toEqual([])
})

it('R8a: 0 days are for ever', async () => {
  const id = await destroyed()
  clock += 10_000 * DAY_MS
  await createKeeper(0).pass()
  expect([await isThere(id), (await world.store.events(id)).length > 0]).toEqual([true, true])
})

it('R8a: more rows than one transaction takes go in one pass, and passes of replicas at once go on side by side', async () => {
  await world.database.sql`
    insert into snapshot_events (snapshot_id, organization_id, actor_kind, event, to_state, duration_ms, at)
    select gen_random_uuid(), ${world.organizationId}, 'reconciler', 'create', 'pending', 0, ${new Date(clock).toISOString()}::timestamptz
    from generate_series(1, 2500)`
  clock += DAYS * DAY_MS + 1
  await Promise.all([1, 2, 3].map(() => createKeeper().pass()))
  expect(await world.database.sql`select count(*)::int from snapshot_events`).toEqual([{ count: 0 }])
})
