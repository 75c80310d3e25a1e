import { randomUUID } from 'node:crypto'
import type { Runner, Volume } from '@atoll/protocol'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Queryable } from '../database/database.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { ScriptedRunner } from '../testing/scripted-runner.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'
import { stateOf } from './runner-dto.ts'
import { removeRunner } from './runner-removal.ts'
import { RUNNER_LOST_AFTER_MS, silenceAt } from './runner-silence.ts'

const PROXY_KEY = 'the-key-of-a-preview-proxy'

let world: SandboxWorld
let admin: TestPrincipal
const extra: ScriptedRunner[] = []

beforeAll(async () => {
  world = await createSandboxWorld({ secrets: { proxyApiKey: PROXY_KEY } })
  admin = await world.createPrincipal({ systemRole: 'admin' })
})
afterAll(() => world[Symbol.asyncDispose]())
afterEach(async () => {
  for (const runner of extra.splice(0)) await runner[Symbol.asyncDispose]()
})

async function call(method: string, path: string, body?: object) {
  return await world.call(method, path, { as: admin, ...(body && { body }) })
}

async function register(body: object): Promise<Runner> {
  const answer = await call('POST', '/runners', { region: 'us', ...body })
  expect(answer.status).toBe(201)
  return answer.body as Runner
}

async function get(id: string): Promise<Runner> {
  return (await call('GET', `/runners/${id}`)).body as Runner
}

async function connect(token: string): Promise<ScriptedRunner> {
  const runner = new ScriptedRunner({ url: world.url, token })
  extra.push(runner)
  await runner.connect()
  return runner
}

async function local(): Promise<Runner> {
  const [first] = (await call('GET', '/runners')).body as Runner[]
  if (first === undefined) throw new Error('no runner')
  return first
}

/** A body of the `sandbox` generation with every field. */
const OLD_BODY = {
  ...{ domain: 'r1.example.org', apiUrl: 'http://r1.example.org', apiKey: 'a-token-of-our-own', cpu: 8, memory: 16 },
  ...{ disk: 100, gpu: 0, gpuType: 'none', class: 'medium', capacity: 20, region: 'us' },
}

describe('a runner that is registered', () => {
  it('has its token shown once, and dials home with it', async () => {
    const made = await register({ name: 'second', regionId: 'us' })
    expect(made).toMatchObject({
      name: 'second',
      region: 'us',
      state: 'initializing',
      apiKey: expect.stringMatching(/^\w{64}$/),
    })
    expect((await get(made.id)).apiKey).toBe('')
    await connect(made.apiKey)
    await until('it is ready', async () => (await get(made.id)).state === 'ready')
    expect(await get(made.id)).toMatchObject({ cpu: 64, memory: 1024, version: '0.0.0', used: 0 })
    await extra[0]?.disconnect()
    await until('it is missed', async () => (await get(made.id)).state === 'unresponsive')
    expect((await call('DELETE', `/runners/${made.id}`)).status).toBe(204)
  })

  it('may bring its token, and all that the older client sends', async () => {
    const { apiKey, ...facts } = OLD_BODY
    const made = await register(OLD_BODY)
    expect(made).toMatchObject({ ...facts, apiKey, name: 'r1.example.org', used: 0, unschedulable: false })
    await connect(apiKey)
    await until('it is ready', async () => (await get(made.id)).state === 'ready')
    expect((await call('POST', '/runners', OLD_BODY)).status).toBe(409)
    await call('DELETE', `/runners/${made.id}`)
  })

  it.each([
    [{ name: 'x' }, 'regionId'],
    [{ region: 'us' }, 'name'],
    [{ name: 'x', region: 'mars' }, 'mars'],
    [{ name: 'x', region: 'us', apiKey: 'short' }, 'apiKey'],
    [{ name: 'x', region: 'us', class: 'huge' }, 'class'],
  ])('cannot be %j', async (body, named) => {
    const { status, body: error } = await call('POST', '/runners', body)
    expect([status, (error as { message: string }).message]).toEqual([400, expect.stringContaining(named)])
  })
})

describe('placement', () => {
  async function refused(): Promise<void> {
    const { status, body } = await world.call('POST', '/sandbox', { body: {} })
    expect([status, (body as { message: string }).message]).toEqual([400, 'No available runners'])
  }

  it.each(['/runners', '/nodes'])('passes over a runner that is taken out of it at %s', async (path) => {
    const { id } = await local()
    const answer = await call('PATCH', `${path}/${id}/scheduling`, { unschedulable: true })
    expect([answer.status, answer.body]).toEqual([
      200,
      expect.objectContaining({ unschedulable: true, state: 'ready' }),
    ])
    await refused()
    await call('PATCH', `${path}/${id}/scheduling`, { unschedulable: false })
    expect((await world.create()).state).toBe('started')
  })

  it('passes over a runner that drains, which still starts what it has', async () => {
    const { id } = await local()
    const sandbox = await world.create()
    await call('PATCH', `/runners/${id}/draining`, { draining: true })
    await refused()
    await world.call('POST', `/sandbox/${sandbox.id}/stop`)
    await world.untilState(sandbox.id, 'stopped')
    expect((await world.call('POST', `/sandbox/${sandbox.id}/start`)).status).toBe(200)
    await call('PATCH', `/runners/${id}/draining`, { draining: false })
  })

  it('passes over a runner that is full, or takes another class', async () => {
    const { sql } = world.api.database
    const { id, used } = await local()
    await sql`update runners set capacity = ${used} where id = ${id}`
    await refused()
    await sql`update runners set capacity = null, class = 'large' where id = ${id}`
    await refused()
    expect((await world.create({ class: 'large' })).class).toBe('large')
    await sql`update runners set class = null where id = ${id}`
  })
})

describe('where things are', () => {
  it('is told by sandbox and by snapshot, in every spelling', async () => {
    const sandbox = await world.create()
    const { id } = await local()
    expect((await call('GET', `/runners/by-sandbox/${sandbox.id}`)).body).toMatchObject({
      id,
      used: expect.any(Number),
    })
    expect((await call('GET', '/runners/by-sandbox/00000000-0000-4000-8000-000000000000')).status).toBe(404)
    for (const query of ['by-snapshot?ref=host', 'by-snapshot?internalName=host', 'by-snapshot-ref?ref=host']) {
      const { status, body } = await call('GET', `/runners/${query}`)
      expect([status, body]).toEqual([
        200,
        [{ runnerSnapshotId: expect.any(String), runnerId: id, runnerDomain: 'local' }],
      ])
    }
    expect((await call('GET', '/runners/by-snapshot?ref=none')).body).toEqual([])
    expect((await call('GET', '/runners/by-snapshot')).status).toBe(400)
    expect((await call('GET', `/runners/${id}/full`)).body).toMatchObject({ id, regionType: 'shared' })
    expect((await call('GET', '/runners?regionId=eu')).body).toEqual([])
  })
})

describe('removing a runner', () => {
  it('is refused while a sandbox lives there', async () => {
    const { id } = await local()
    expect((await call('DELETE', `/runners/${id}`)).status).toBe(409)
  })

  /** Adds a ready runner, the only one that takes new sandboxes. */
  async function addRunner(name: string): Promise<{ id: string; runner: ScriptedRunner }> {
    const made = await register({ name })
    const runner = await connect(made.apiKey)
    await until('it is ready', async () => (await get(made.id)).state === 'ready')
    return { id: made.id, runner }
  }

  async function archivedSandbox(): Promise<string> {
    const { id } = await world.create()
    await world.call('POST', `/sandbox/${id}/stop`)
    await world.untilState(id, 'stopped')
    await world.call('POST', `/sandbox/${id}/archive`)
    await world.untilState(id, 'archived')
    return id
  }

  async function volumeOn(runnerId: string): Promise<string> {
    const { id } = (await world.call('POST', '/volumes', { body: { name: randomUUID() } })).body as Volume
    await untilVolume(id, 'ready')
    await world.api.database.sql`update volumes set runner_id = ${runnerId} where id = ${id}`
    return id
  }

  async function volume(id: string): Promise<Volume> {
    return (await world.call('GET', `/volumes/${id}`)).body as Volume
  }

  function untilVolume(id: string, state: string): Promise<void> {
    return until(`the volume is ${state}`, async () => (await volume(id)).state === state)
  }

  it('is refused while a volume is there, and gives it up by force when it is lost', async () => {
    const { id } = await addRunner('with-volumes')
    const [kept, deleting] = [await volumeOn(id), await volumeOn(id)]
    expect((await call('DELETE', `/runners/${id}?force=true`)).body).toMatchObject({
      message: 'Volumes are on this runner',
    })
    await extra[0]?.disconnect()
    const { sql } = world.api.database
    await until('it is missed', async () => (await get(id)).state === 'unresponsive')
    await world.call('DELETE', `/volumes/${deleting}`)
    await sql`update runners set heard_at = now() - interval '1 day' where id = ${id}`
    expect((await call('DELETE', `/runners/${id}`)).body).toMatchObject({
      message: expect.stringContaining('force=true'),
    })
    expect((await call('DELETE', `/runners/${id}?force=true`)).status).toBe(204)
    expect((await volume(deleting)).state).toBe('deleted')
    expect(await volume(kept)).toMatchObject({ state: 'error', errorReason: 'Its runner was lost and removed' })
    expect(
      await sql`select event, from_state, to_state from volume_events where volume_id = ${kept} order by id desc limit 1`,
    ).toEqual([{ event: 'gone', from_state: 'ready', to_state: 'error' }])
    expect((await world.call('DELETE', `/volumes/${kept}`)).status).toBe(200)
    await untilVolume(kept, 'deleted')
  })

  it('is refused while no other runner has what an archived sandbox was made from', async () => {
    const { id } = await addRunner('last-holder')
    const { id: localId } = await local()
    const { sql } = world.api.database
    const ref = `held-once-${randomUUID()}`
    await sql`update sandboxes set snapshot_ref = ${ref} where id = ${await archivedSandbox()}`
    await sql`insert into snapshot_runners (ref, runner_id, state) values (${ref}, ${id}, 'active')`
    const refused = await call('DELETE', `/runners/${id}`)
    expect([refused.status, refused.body]).toEqual([
      409,
      expect.objectContaining({ message: expect.stringContaining(ref) }),
    ])
    await sql`insert into snapshot_runners (ref, runner_id, state) values (${ref}, ${localId}, 'active')`
    expect((await call('DELETE', `/runners/${id}`)).status).toBe(204)
  })

  it('waits for one that is under way, after which it may be the last that has a snapshot', async () => {
    const [first, second] = [await register({ name: 'holder-one' }), await register({ name: 'holder-two' })]
    const { sql, transaction } = world.api.database
    const ref = `held-twice-${randomUUID()}`
    await sql`update sandboxes set snapshot_ref = ${ref} where id = ${await archivedSandbox()}`
    await sql`insert into snapshot_runners (ref, runner_id, state)
      values (${ref}, ${first.id}, 'active'), (${ref}, ${second.id}, 'active')`
    const silence = silenceAt(Date.now(), RUNNER_LOST_AFTER_MS)
    const remove = (tx: Queryable, { id }: Runner) =>
      removeRunner(tx, id, { tokenHash: id.replaceAll('-', '').repeat(2), silence, force: false, at: new Date() })
    const isWaiting = async () =>
      (await sql`select 1 from pg_locks where locktype = 'advisory' and not granted`).length > 0
    const { later } = await transaction(async (tx) => {
      expect(await remove(tx, first)).toBe('removed')
      const later = transaction((other) => remove(other, second))
      await Promise.race([later, until('the other waits', isWaiting)])
      return { later }
    })
    expect(await later).toEqual({ lastHolder: [ref] })
  })

  it('leaves no snapshot held there, so what is being removed ends', async () => {
    const { id } = await addRunner('with-snapshots')
    const { sql } = world.api.database
    const ref = `of-a-removed-runner-${randomUUID()}`
    await sql`insert into snapshot_runners (ref, runner_id, state) values (${ref}, ${id}, 'active')`
    expect((await call('DELETE', `/runners/${id}`)).status).toBe(204)
    expect(await sql`select 1 from snapshot_runners where ref = ${ref}`).toEqual([])
  })

  it('ends its connection and its token, and frees its name', async () => {
    const made = await register({ name: 'leaving' })
    const runner = await connect(made.apiKey)
    await until('it is ready', async () => (await get(made.id)).state === 'ready')
    expect((await call('DELETE', `/runners/${made.id}`)).status).toBe(204)
    expect((await call('GET', `/runners/${made.id}`)).status).toBe(404)
    expect((await call('DELETE', `/runners/${made.id}`)).status).toBe(404)
    runner.emit({ type: 'alive' })
    await until('its link is over', () => !runner.isConnected)
    await expect(runner.connect()).rejects.toThrow()
    expect((await register({ name: 'leaving' })).id).not.toBe(made.id)
  })
})

describe('the list of runners', () => {
  it.each([
    ['GET', '/runners'],
    ['GET', '/nodes'],
    ['POST', '/runners'],
    ['GET', '/runners/by-snapshot?ref=host'],
    ['DELETE', '/runners/00000000-0000-4000-8000-000000000000'],
  ])('is for administrators only: %s %s', async (method, path) => {
    expect((await world.call(method, path)).status).toBe(403)
  })
})

describe('the preview proxy', () => {
  it('may look up where things are, and nothing else', async () => {
    const { id } = await world.create()
    const ask = (path: string) =>
      fetch(`${world.url}/api${path}`, { headers: { authorization: `Bearer ${PROXY_KEY}` } })
    expect((await ask(`/runners/by-sandbox/${id}`)).status).toBe(200)
    expect((await ask('/runners/by-snapshot-ref?ref=host')).status).toBe(200)
    expect((await ask('/runners')).status).toBe(403)
  })
})

describe('the state of a runner', () => {
  const heard = { draining: false, version: '1', lastSeenAt: new Date(100_000) }

  it.each([
    ['initializing', { ...heard, version: null, lastSeenAt: null }, 0],
    ['ready', heard, 0],
    ['unresponsive', { ...heard, lastSeenAt: null }, 0],
    ['unresponsive', { ...heard, lastSeenAt: new Date(0) }, 0],
    ['ready', { ...heard, draining: true }, 1],
    ['decommissioned', { ...heard, draining: true }, 0],
  ])('is %s for %j', (state, row, used) => expect(stateOf(row, used, 110_000)).toBe(state))
})
