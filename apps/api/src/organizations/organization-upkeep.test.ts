import { randomUUID } from 'node:crypto'
import type { Sandbox, Snapshot } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { sql } from 'drizzle-orm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createOrganizationSandboxes } from '../sandboxes/organization-sandboxes.ts'
import { createSandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { createSandboxStore } from '../sandboxes/sandbox-store.ts'
import { createSigningKeyStore } from '../sign-in/signing-key-store.ts'
import { createOrganizationSnapshots } from '../snapshots/organization-snapshots.ts'
import { createSnapshotChanges } from '../snapshots/snapshot-changes.ts'
import { createSnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import { createSnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'
import type { OrganizationBelongings, OrganizationUpkeep } from './organization-upkeep.ts'
import { createOrganizationUpkeep } from './organization-upkeep.ts'

const HOUR_MS = 3_600_000

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

test('what a suspended organization runs is stopped after a day, and not before', async () => {
  const { id, organizationId } = await world.create()
  const { sql } = world.api.database
  await sql`update organizations set suspended = true, suspended_at = now() where id = ${organizationId}`
  await upkeepAt(Date.now() + 23 * HOUR_MS).run()
  expect((await world.get(id)).state).toBe('started')
  await sql`update organizations set suspended_until = now() + interval '24 hours' where id = ${organizationId}`
  await upkeepAt(Date.now() + 25 * HOUR_MS).run()
  expect((await world.get(id)).state).toBe('started')
  await sql`update organizations set suspended_until = null where id = ${organizationId}`
  await upkeepAt(Date.now() + 25 * HOUR_MS).run()
  await world.untilState(id, 'stopped')
  await sql`update organizations set suspended = false where id = ${organizationId}`
})

test('the snapshots of a suspended organization are inactive after a day, and come back when they are activated', async () => {
  const { sql } = world.api.database
  const { snapshots: held } = world.runner.holdings
  const as = await world.createPrincipal()
  const [pulled, unique, lent] = [await snapshot(as), await snapshot(as), await snapshot(as)]
  const [used, doomed] = [await snapshot(as), await snapshot(as)]
  const digest = `sha256:${'1'.repeat(64)}`
  await sql`update snapshots set digest = ${digest} where id in (${pulled.id}, ${used.id})`
  await sql`update snapshots set general = true where id = ${lent.id}`
  const user = (await world.call('POST', '/sandbox', { as, body: { snapshot: used.name } })).body as Sandbox
  await sql`update organizations set suspended = true, suspended_at = now() where id = ${as.organizationId}`
  const states = async () => {
    const shown = [pulled, unique, used, lent].map(({ id }) => world.call('GET', `/snapshots/${id}`, { as }))
    return (await Promise.all(shown)).map(({ body }) => (body as Snapshot).state)
  }
  await upkeepAt(Date.now() + 23 * HOUR_MS).run()
  expect(await states()).toEqual(['active', 'active', 'active', 'active'])
  await upkeepAt(Date.now() + 25 * HOUR_MS).run()
  expect(await states()).toEqual(['inactive', 'inactive', 'inactive', 'active'])

  // A deletion wakes the sweep.
  await world.call('DELETE', `/snapshots/${doomed.id}`, { as })
  await until('it is off its runner', () => !held.has(pulled.ref ?? ''))
  expect([unique, used, lent].map(({ ref = '' }) => held.has(ref))).toEqual([true, true, true])

  await sql`update organizations set suspended = false where id = ${as.organizationId}`
  for (const { id } of [pulled, unique]) {
    expect((await world.call('POST', `/snapshots/${id}/activate`, { as })).body).toMatchObject({ state: 'active' })
    const made = await world.call('POST', '/sandbox', { as, body: { snapshot: id } })
    expect(made.body).toMatchObject({ state: 'started' })
  }
  expect(held.get(pulled.ref ?? '')?.source).toMatchObject({ kind: 'image', reference: `debian@${digest}` })
  expect((await world.call('DELETE', `/sandbox/${user.id}`, { as })).status).toBe(200)
})

test('a deleted organization takes its sandboxes with it, whatever they do, and its row goes last', async () => {
  const { sql } = world.api.database
  const as = await world.createPrincipal()
  await sql`update organizations set personal = false where id = ${as.organizationId}`
  const create = async () => (await world.call('POST', '/sandbox', { as, body: {} })).body as Sandbox
  const [running, stopped, destroyed] = [await create(), await create(), await create()]
  await world.call('POST', `/sandbox/${stopped.id}/stop`, { as })
  await world.call('DELETE', `/sandbox/${destroyed.id}`, { as })
  const held = world.runner.hold('remove')
  expect((await world.call('DELETE', `/organizations/${as.organizationId}`, { as })).status).toBe(204)
  await held.reached
  const left = () => sql`select 1 from organizations where id = ${as.organizationId}`
  expect(await left()).toHaveLength(1)
  held.release()
  await until('its sandboxes are gone', () => ![running.id, stopped.id].some((id) => world.runner.sandboxes.has(id)))
  await until('its row is gone', async () => {
    await upkeepAt(Date.now()).run()
    return (await left()).length === 0
  })
  expect(await sql`select 1 from sandboxes where organization_id = ${as.organizationId}`).toHaveLength(0)
})

test('a sandbox that is made while its organization is deleted is not left behind', async () => {
  const { sql } = world.api.database
  const as = await world.createPrincipal()
  await sql`update organizations set personal = false where id = ${as.organizationId}`
  const creations = Array.from({ length: 8 }, () => world.call('POST', '/sandbox', { as, body: {} }))
  await world.call('DELETE', `/organizations/${as.organizationId}`, { as })
  await Promise.all(creations)
  await until('all is gone', async () => {
    await upkeepAt(Date.now()).run()
    return (await sql`select 1 from organizations where id = ${as.organizationId}`).length === 0
  })
})

test('nobody who signs in waits for upkeep', async () => {
  const { database } = world.api
  let begun = false
  let release: () => void = () => undefined
  const released = new Promise<void>((resolve) => {
    release = resolve
  })
  const slow: OrganizationBelongings = {
    async stopAll() {
      begun = true
      await released
    },
    destroyAll: async () => undefined,
    forget: async () => false,
  }
  const as = await world.createPrincipal()
  await database.sql`update organizations set suspended = true, suspended_at = now() where id = ${as.organizationId}`
  const options = { database, belongings: [slow], log: createLogger('test', 'silent') }
  await using upkeep = createOrganizationUpkeep({ ...options, now: () => Date.now() + 25 * HOUR_MS })
  await until('a round has begun', () => {
    upkeep.wake()
    return begun
  })
  try {
    await database.transaction(async (tx) => {
      await tx.execute(sql`set local lock_timeout = '2s'`)
      await createSigningKeyStore(tx).lock()
    })
  } finally {
    release()
  }
})

async function snapshot(as: TestPrincipal): Promise<Snapshot> {
  const body = { name: randomUUID(), imageName: 'debian:12' }
  const { id } = (await world.call('POST', '/snapshots', { as, body })).body as Snapshot
  const get = async () => (await world.call('GET', `/snapshots/${id}`, { as })).body as Snapshot
  await until('the snapshot is active', async () => (await get()).state === 'active')
  return await get()
}

/** Creates the upkeep of the world's database with another clock. */
function upkeepAt(now: number): OrganizationUpkeep {
  const { database } = world.api
  const changes = createSandboxChanges({ subscribe: () => undefined })
  const store = createSandboxStore({ database, changes, now: Date.now })
  const sandboxes = createOrganizationSandboxes({ database, store })
  const snapshots = createOrganizationSnapshots({
    database,
    store: createSnapshotStore({
      ...{ database, now: Date.now },
      changes: createSnapshotChanges({ subscribe: () => undefined }),
    }),
    holdings: createSnapshotRunnerStore(database),
  })
  return createOrganizationUpkeep({
    ...{ database, belongings: [sandboxes, snapshots], log: createLogger('test', 'silent') },
    now: () => now,
  })
}
