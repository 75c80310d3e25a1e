import type { Snapshot } from '@atoll/protocol'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'
import { snapshotCalls } from '../../testing/snapshot-calls.ts'
import { until } from '../../testing/until.ts'

type Held = Snapshot & { ref: string }

let world: SandboxWorld
const snapshots = snapshotCalls(() => world)

beforeEach(async () => {
  world = await createSandboxWorld()
})
afterEach(() => world[Symbol.asyncDispose]())

const start = (id: string) => world.call('POST', `/sandbox/${id}/start`)
const held = (snapshot: Snapshot): Held => ({ ...snapshot, ref: snapshot.ref ?? '' })
const isRemoved = async (id: string) => (await world.call('GET', `/snapshots/${id}`)).status === 404

/** One that exists on the runner and nowhere else. */
async function captured(): Promise<Held> {
  const { id } = await world.create()
  await world.call('POST', `/sandbox/${id}/snapshot`, { body: { name: 'captured' } })
  await snapshots.untilState('captured', 'active')
  return held(await snapshots.get('captured'))
}

/** An archived sandbox, whose snapshot nobody but the first runner has. */
async function archived(files: string, body: object): Promise<string> {
  const { id } = await world.create(body)
  world.runner.get(id).files = Buffer.from(files)
  await world.call('POST', `/sandbox/${id}/stop`)
  await world.untilState(id, 'stopped')
  await world.call('POST', `/sandbox/${id}/archive`)
  await world.untilState(id, 'archived')
  return id
}

async function disconnect(): Promise<void> {
  await world.runner.disconnect()
  await until('it is known to be gone', async () => {
    const { sql } = world.api.database
    return (await sql`select 1 from runners where name = 'local' and last_seen_at is null`).length > 0
  })
}

it('a runner that connects keeps a deleted snapshot that an archived sandbox needs', async () => {
  const { id: snapshotId, name, ref } = await captured()
  const id = await archived('all of it', { snapshot: name })
  await world.call('DELETE', `/snapshots/${snapshotId}`)
  await until('the snapshot is removed', () => isRemoved(snapshotId))
  await disconnect()
  await world.runner.connect()
  await until('it may start', async () => (await start(id)).status === 200)
  await world.untilState(id, 'started')
  expect(world.runner.holdings.isActive(ref)).toBe(true)
  expect(world.runner.get(id).files.toString()).toBe('all of it')
})
