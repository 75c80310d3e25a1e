import type { ErrorBody, Sandbox, Snapshot } from '@atoll/protocol'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createRunnerStore } from '../../runners/runner-store.ts'
import type { Answer, SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'
import { createSecondRunner } from '../../testing/second-runner.ts'
import { snapshotCalls } from '../../testing/snapshot-calls.ts'
import { until } from '../../testing/until.ts'

type Held = Snapshot & { ref: string }

let world: SandboxWorld
const snapshots = snapshotCalls(() => world)
const DIGEST = 'sha256:1'

beforeEach(async () => {
  world = await createSandboxWorld()
})
afterEach(() => world[Symbol.asyncDispose]())

const messageOf = ({ body }: Answer): string => (body as ErrorBody).message
const start = (id: string) => world.call('POST', `/sandbox/${id}/start`)
const held = (snapshot: Snapshot): Held => ({ ...snapshot, ref: snapshot.ref ?? '' })
const isRemoved = async (id: string) => (await world.call('GET', `/snapshots/${id}`)).status === 404

async function pulled(): Promise<Held> {
  const snapshot = await snapshots.active()
  await world.api.database.sql`update snapshots set digest = ${DIGEST} where id = ${snapshot.id}`
  return held(snapshot)
}

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

async function setRoom(cpu: number): Promise<void> {
  await world.api.database.sql`update runners set cpu = ${cpu} where name = 'local'`
}

async function disconnect(): Promise<void> {
  await world.runner.disconnect()
  await until('it is known to be gone', async () => {
    const { sql } = world.api.database
    return (await sql`select 1 from runners where name = 'local' and last_seen_at is null`).length > 0
  })
}

/** Has the sweep look at all that runners hold, for a spare snapshot. */
async function sweep({ id }: Snapshot): Promise<void> {
  await world.call('DELETE', `/snapshots/${id}`)
  await until('it was looked for what can go', () => isRemoved(id))
}

describe('the start of an archived sandbox', () => {
  it('prefers the runner that has its snapshot', async () => {
    const { name, ref } = await captured()
    const id = await archived('all of it', { snapshot: name })
    await using second = await createSecondRunner(world)
    await start(id)
    await world.untilState(id, 'started')
    expect(world.runner.get(id).files.toString()).toBe('all of it')
    expect(second.runner.holdings.snapshots.has(ref)).toBe(false)
  })

  it.each([
    ['pulled', pulled],
    ['made of a sandbox', captured],
  ])('brings a snapshot that was %s to another runner while that one is full', async (_, make) => {
    const { name, ref } = await make()
    const id = await archived('all of it', { snapshot: name })
    await using second = await createSecondRunner(world)
    second.runner.holdings.finishes = false
    await setRoom(0)
    expect((await start(id)).body).toMatchObject({ state: 'restoring' })
    await until('its content arrived', () => second.runner.holdings.snapshots.get(ref)?.content !== undefined)
    expect(second.runner.holdings.get(ref)).toMatchObject({ source: { kind: 'import' } })
    expect(await world.get(id)).toMatchObject({ state: 'restoring', runnerId: second.id })
    expect(second.runner.sandboxes.has(id)).toBe(false)
    second.runner.holdings.advance(ref, 'active')
    await world.untilState(id, 'started')
    expect(second.runner.get(id).files.toString()).toBe('all of it')
  })

  it('has an image pulled again where no runner that has it is connected', async () => {
    const { name, ref } = await pulled()
    const id = await archived('all of it', { snapshot: name })
    await using second = await createSecondRunner(world)
    await disconnect()
    await start(id)
    await world.untilState(id, 'started')
    expect(second.runner.holdings.get(ref)).toMatchObject({ source: { kind: 'image', reference: `debian@${DIGEST}` } })
    expect(second.runner.get(id).files.toString()).toBe('all of it')
  })

  it('has it pulled where a copy was begun and the runner it came from has gone', async () => {
    const { name, ref } = await pulled()
    const id = await archived('all of it', { snapshot: name })
    const begun = Buffer.from(JSON.stringify({ source: { kind: 'import' } }))
    await using second = await createSecondRunner(world, ({ holdings }) => {
      holdings.perform('PUT', `/snapshots/${ref}`, begun)
    })
    await disconnect()
    await start(id)
    await world.untilState(id, 'started')
    expect(second.runner.holdings.get(ref)).toMatchObject({ source: { kind: 'image' } })
  })

  it('is refused while the snapshot cannot be brought from anywhere, and leaves it archived', async () => {
    const { name } = await captured()
    const id = await archived('all of it', { snapshot: name })
    await using _second = await createSecondRunner(world)
    await disconnect()
    const refused = await start(id)
    expect([refused.status, messageOf(refused)]).toEqual([400, 'No available runners'])
    expect((await world.get(id)).state).toBe('archived')
    await world.runner.connect()
    await until('it may start', async () => (await start(id)).status === 200)
    await world.untilState(id, 'started')
    expect(world.runner.get(id).files.toString()).toBe('all of it')
  })

  it('brings nothing that is built in', async () => {
    const id = await archived('all of it', {})
    await using second = await createSecondRunner(world, ({ holdings }) => holdings.snapshots.delete('host'))
    await setRoom(0)
    const refused = await start(id)
    expect([refused.status, messageOf(refused)]).toEqual([400, 'No available runners'])
    expect(second.runner.holdings.made).toEqual([])
    await setRoom(64)
    await start(id)
    await world.untilState(id, 'started')
  })
})

describe('a sandbox that waits for its snapshot to be restored', () => {
  it('is in error with its archive kept when the snapshot could not be brought, and is recovered later', async () => {
    const { name, ref } = await captured()
    const id = await archived('all of it', { snapshot: name })
    await using second = await createSecondRunner(world)
    second.runner.holdings.finishes = false
    await setRoom(0)
    await start(id)
    await until('its content arrived', () => second.runner.holdings.snapshots.get(ref)?.content !== undefined)
    second.runner.holdings.advance(ref, 'error', 'no space left')
    await world.untilState(id, 'error')
    expect(await world.get(id)).toMatchObject({
      recoverable: true,
      errorReason: 'The sandbox could not be restored: its snapshot could not be brought to its runner: no space left',
    })
    second.runner.holdings.finishes = true
    expect((await world.call('POST', `/sandbox/${id}/recover`)).body).toMatchObject({ state: 'restoring' })
    await world.untilState(id, 'started')
    expect(second.runner.get(id).files.toString()).toBe('all of it')
  })

  it('R5a: is restored although a call that brings the snapshot failed', async () => {
    const { name, ref } = await captured()
    const id = await archived('all of it', { snapshot: name })
    await using second = await createSecondRunner(world)
    const { holdings } = second.runner
    holdings.refusals.set('make', { status: 503, code: 'SERVICE_UNAVAILABLE', message: 'the runner is shutting down' })
    await setRoom(0)
    await start(id)
    await until('it was asked for', () => holdings.calls.includes(`make ${ref}`))
    holdings.refusals.clear()
    await world.untilState(id, 'started')
    expect(second.runner.get(id).files.toString()).toBe('all of it')
  })

  it('is restored although a runner that is away is yet to be rid of the snapshot', async () => {
    const { name, ref } = await captured()
    const id = await archived('all of it', { snapshot: name })
    const { database } = world.api
    const awayId = await createRunnerStore(database).ensure({ name: 'away', tokenHash: 'a'.repeat(64), region: 'us' })
    await database.sql`insert into snapshot_runners (ref, runner_id, state) values (${ref}, ${awayId}, 'removing')`
    await using second = await createSecondRunner(world)
    await setRoom(0)
    await start(id)
    await world.untilState(id, 'started')
    expect(second.runner.get(id).files.toString()).toBe('all of it')
  })

  it('R6: is deleted at once', async () => {
    const { name, ref } = await captured()
    const id = await archived('all of it', { snapshot: name })
    await using second = await createSecondRunner(world)
    second.runner.holdings.finishes = false
    await setRoom(0)
    await start(id)
    await until('its content arrived', () => second.runner.holdings.snapshots.get(ref)?.content !== undefined)
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
    second.runner.holdings.advance(ref, 'active')
    expect(second.runner.sandboxes.has(id)).toBe(false)
  })

  it('finds a deleted snapshot on every runner that has it until it is restored', async () => {
    const { id: snapshotId, name, ref } = await captured()
    const id = await archived('all of it', { snapshot: name })
    const spare = [await pulled(), await pulled(), await pulled()] as const
    await using second = await createSecondRunner(world)
    second.runner.holdings.finishes = false
    await setRoom(0)
    await start(id)
    await until('its content arrived', () => second.runner.holdings.snapshots.get(ref)?.content !== undefined)
    await world.call('DELETE', `/snapshots/${snapshotId}`)
    await until('the snapshot is removed', () => isRemoved(snapshotId))
    await sweep(spare[0])
    expect(world.runner.holdings.isActive(ref)).toBe(true)
    // What came is damaged: only the first runner has it now.
    second.runner.holdings.advance(ref, 'error', 'no space left')
    await world.untilState(id, 'error')
    await sweep(spare[1])
    expect(world.runner.holdings.isActive(ref)).toBe(true)
    second.runner.holdings.finishes = true
    await world.call('POST', `/sandbox/${id}/recover`)
    await world.untilState(id, 'started')
    expect((await world.get(id)).runnerId).toBe(second.id)
    await sweep(spare[2])
    await until('the first runner is rid of it', () => !world.runner.holdings.snapshots.has(ref))
    expect(second.runner.holdings.isActive(ref)).toBe(true)
    const { state } = (await world.call('GET', `/sandbox/${id}`)).body as Sandbox
    expect(state).toBe('started')
  })
})

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
