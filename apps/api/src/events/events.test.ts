import { randomUUID } from 'node:crypto'
import type { Snapshot, Volume } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { io, type Socket } from 'socket.io-client'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import WebSocket from 'ws'
import type { Api } from '../app.ts'
import { createApi } from '../app.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'
import { RESOURCE_EVENT_CHANNEL } from './resource-event.ts'

let world: SandboxWorld
let other: Api
let otherUrl: string
const sockets: Socket[] = []

beforeAll(async () => {
  world = await createSandboxWorld()
  other = await createApi({
    config: world.api.config,
    secrets: { ...world.api.secrets, runnerToken: undefined },
    address: world.api.database.address,
    log: createLogger('other', 'silent'),
  })
  otherUrl = await other.listen()
  for (const url of [world.url, otherUrl]) await untilHeard(url)
})
afterAll(async () => {
  await other[Symbol.asyncDispose]()
  await world[Symbol.asyncDispose]()
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.disconnect()
})

/** Waits until the replica tells of events: it begins to listen to the database in the background. */
async function untilHeard(url: string): Promise<void> {
  const as = await world.createPrincipal()
  const { socket, told } = await listen({ url, token: as.apiKey })
  await until('something is told', async () => {
    await world.call('POST', '/volumes', { as, body: { name: randomUUID() } })
    return told.length > 0
  })
  socket.disconnect()
}

interface Told {
  name: string
  payload: Record<string, unknown>
}

/** Listens as SDK 0.218 does. */
async function listen(options: { url?: string; token?: string; organizationId?: string } = {}) {
  const { url = world.url, token = world.principal.apiKey, organizationId } = options
  const socket = io(url, {
    ...{ path: '/api/socket.io/', transports: ['websocket'], reconnection: false, forceNew: true },
    ...{ auth: { token }, query: organizationId === undefined ? {} : { organizationId } },
  })
  sockets.push(socket)
  const told: Told[] = []
  socket.onAny((name: string, payload: Record<string, unknown>) => told.push({ name, payload }))
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve)
    socket.once('connect_error', reject)
  })
  return { socket, told }
}

function namesFor(told: Told[], id: string): string[] {
  return told
    .filter(({ payload }) => idOf(payload) === id)
    .map(({ name, payload }) => `${name} ${payload['newState'] ?? ''}`.trim())
}

/** Finds the id as SDKs do; a sandbox's own field `snapshot` is a name. */
function idOf(payload: Record<string, unknown>): unknown {
  const fields = [payload['sandbox'], payload['snapshot'], payload['volume']]
  const nested = fields.find((field) => typeof field === 'object') ?? payload
  return (nested as { id: unknown }).id
}

describe('a listener', () => {
  it.each(['this replica', 'another replica'])('is told of its organization on %s, in order', async (where) => {
    const url = where === 'this replica' ? world.url : otherUrl
    const { told } = await listen({ url })
    const sandbox = await world.create()
    await world.call('POST', `/sandbox/${sandbox.id}/stop`)
    await world.untilState(sandbox.id, 'stopped')
    await until('all is told', () => namesFor(told, sandbox.id).includes('sandbox.state.updated stopped'))
    expect(namesFor(told, sandbox.id)).toEqual([
      'sandbox.created',
      'sandbox.state.updated starting',
      'sandbox.state.updated started',
      'sandbox.state.updated stopping',
      'sandbox.desired-state.updated',
      'sandbox.state.updated stopped',
    ])
    const last = told.findLast(({ payload }) => idOf(payload) === sandbox.id)
    expect(last?.payload).toMatchObject({
      ...{ oldState: 'stopping', newState: 'stopped' },
      sandbox: { ...(await world.get(sandbox.id)), toolboxProxyUrl: `${url}/api/toolbox-proxy` },
    })
  })

  it.each(['this replica', 'another replica'])('is told on %s that a snapshot is made of a sandbox', async (where) => {
    // Before it is made: how it became started may be told later than its create is answered.
    const { told } = await listen({ url: where === 'this replica' ? world.url : otherUrl })
    const sandbox = await world.create()
    expect((await world.call('POST', `/sandbox/${sandbox.id}/snapshot`, { body: { name: randomUUID() } })).status).toBe(
      200,
    )
    const states = () => namesFor(told, sandbox.id).filter((name) => name.startsWith('sandbox.state.updated'))
    await until('it is told that it is done', () => states().length >= 4)
    expect(states()).toEqual(
      ['starting', 'started', 'snapshotting', 'started'].map((state) => `sandbox.state.updated ${state}`),
    )
  })

  it('is told nothing of others', async () => {
    const stranger = await world.createPrincipal()
    const mine = await listen()
    const theirs = await listen({ token: stranger.apiKey })
    const sandbox = await world.create()
    await until('it is told', () => namesFor(mine.told, sandbox.id).length >= 2)
    expect(theirs.told).toEqual([])
  })

  it.each(['', 'wrong', `dtn_${'0'.repeat(64)}`])('needs a valid credential, not %j', async (token) => {
    await expect(listen({ token })).rejects.toThrow('Invalid API key')
  })

  it('is what it is by its key, whatever organization it names', async () => {
    const stranger = await world.createPrincipal()
    const { told } = await listen({ token: stranger.apiKey, organizationId: world.principal.organizationId })
    const listener = await listen()
    const sandbox = await world.create()
    await until('others are told', () => namesFor(listener.told, sandbox.id).length >= 2)
    expect(told).toEqual([])
  })
})

describe('a listener is told of a', () => {
  it.each(['this replica', 'another replica'])('snapshot on %s, in order and as it is read', async (where) => {
    const { told } = await listen({ url: where === 'this replica' ? world.url : otherUrl })
    const { id } = await createSnapshot()
    await until('it is active', () => namesFor(told, id).includes('snapshot.state.updated active'))
    const active = (await world.call('GET', `/snapshots/${id}`)).body as Snapshot
    expect(lastOf(told, id)).toEqual({
      name: 'snapshot.state.updated',
      payload: { snapshot: active, oldState: 'validating', newState: 'active' },
    })
    await world.call('DELETE', `/snapshots/${id}`)
    await until('it is removed', () => namesFor(told, id).includes('snapshot.removed'))
    expect(namesFor(told, id)).toEqual([
      'snapshot.created',
      'snapshot.state.updated pulling',
      'snapshot.state.updated pending_validation',
      'snapshot.state.updated validating',
      'snapshot.state.updated active',
      'snapshot.state.updated removing',
      'snapshot.removed',
    ])
    const removed = { ...active, state: 'removing', updatedAt: expect.any(String) }
    expect(lastOf(told, id)).toEqual({ name: 'snapshot.removed', payload: removed })
  })

  it.each(['this replica', 'another replica'])('volume on %s, in order and as it is read', async (where) => {
    const { told } = await listen({ url: where === 'this replica' ? world.url : otherUrl })
    const { id } = await createVolume()
    const read = async () => (await world.call('GET', `/volumes/${id}`)).body
    await until('it is ready', () => namesFor(told, id).includes('volume.state.updated ready'))
    expect(lastOf(told, id)).toEqual({
      name: 'volume.state.updated',
      payload: { volume: await read(), oldState: 'creating', newState: 'ready' },
    })
    await world.call('DELETE', `/volumes/${id}`)
    await until('it is deleted', () => namesFor(told, id).includes('volume.state.updated deleted'))
    expect(namesFor(told, id)).toEqual([
      'volume.created',
      'volume.state.updated creating',
      'volume.state.updated ready',
      'volume.state.updated pending_delete',
      'volume.state.updated deleting',
      'volume.state.updated deleted',
    ])
    expect(lastOf(told, id)?.payload['volume']).toEqual(await read())
  })

  it("general snapshot only when it is its organization's", async () => {
    const admin = await world.createPrincipal({ systemRole: 'admin' })
    const [mine, theirs] = [await listen(), await listen({ token: admin.apiKey })]
    const { id } = await createSnapshot({ general: true }, admin)
    await until('its own are told', () => namesFor(theirs.told, id).includes('snapshot.state.updated active'))
    expect(await snapshotsToldBefore(mine.told)).toEqual([])
  })

  it('snapshot neither when it is built in nor when it has no name', async () => {
    const { told } = await listen({ url: otherUrl })
    const { sql } = world.api.database
    for (const state of ['inactive', 'active']) {
      const rows = await sql`update snapshots set state = ${state} where kind = 'builtin' returning id`
      expect(rows).toHaveLength(1)
    }
    await world.create({ buildInfo: { dockerfileContent: 'FROM debian:12' } })
    await until('the build is done', async () => {
      const nameless = await sql`select 1 from snapshots where name is null and state = 'active'`
      return nameless.length === 1
    })
    expect(await snapshotsToldBefore(told)).toEqual([])
  })

  async function createSnapshot(body: object = {}, as = world.principal): Promise<Snapshot> {
    const answer = await world.call('POST', '/snapshots', {
      ...{ as, body: { name: `${randomUUID()}:1`, imageName: 'debian:12', ...body } },
    })
    expect(answer.status).toBe(200)
    return answer.body as Snapshot
  }

  async function createVolume(): Promise<Volume> {
    return (await world.call('POST', '/volumes', { body: { name: randomUUID() } })).body as Volume
  }

  /**
   * Returns the snapshots told of before now, since events come in order. It may also hear of volumes that other tests
   * made.
   */
  async function snapshotsToldBefore(told: Told[]): Promise<string[]> {
    const { id } = await createVolume()
    await until('the last is told', () => namesFor(told, id).length > 0)
    const before = told.slice(
      0,
      told.findIndex(({ payload }) => idOf(payload) === id),
    )
    return before.map(({ name }) => name).filter((name) => name.startsWith('snapshot.'))
  }

  function lastOf(told: Told[], id: string): Told | undefined {
    return told.findLast(({ payload }) => idOf(payload) === id)
  }
})

describe('a listener is cut off', () => {
  async function untilCut(principal: TestPrincipal, act: () => Promise<unknown>, url = world.url): Promise<void> {
    const { socket } = await listen({ token: principal.apiKey, url })
    await act()
    await until('it is cut off', () => !socket.connected)
    await expect(listen({ token: principal.apiKey, url })).rejects.toThrow()
  }

  it.each(['this replica', 'another replica'])('at once when its key is deleted, on %s', async (where) => {
    const leaving = await world.createPrincipal()
    const { sql } = world.api.database
    const { userId } = leaving
    const url = where === 'this replica' ? world.url : otherUrl
    await untilCut(leaving, () => sql`delete from api_keys where user_id = ${userId}`, url)
  })

  it('when its sign-in ends, which may listen to an organization that it names', async () => {
    const user = await world.createPrincipal()
    const admin = await world.createPrincipal({ systemRole: 'admin' })
    const login = { login: `${user.userId}@example.org`, password: 'correct horse battery' }
    expect((await world.call('PUT', `/auth/users/${user.userId}/password`, { body: login, as: admin })).status).toBe(
      204,
    )
    const signedIn = (await world.call('POST', '/auth/sign-in', { body: login })).body
    const { accessToken: token, refreshToken } = signedIn as { accessToken: string; refreshToken: string }
    const { organizationId } = user
    await expect(listen({ token })).rejects.toThrow('X-Daytona-Organization-ID')
    const foreign = world.principal.organizationId
    await expect(listen({ token, organizationId: foreign })).rejects.toThrow('do not belong')
    const { socket } = await listen({ token, organizationId, url: otherUrl })
    await world.call('POST', '/auth/sign-out', { body: { refreshToken } })
    await until('it is cut off', () => !socket.connected)
  })

  it('when it does not read', async () => {
    const client = new WebSocket(`${otherUrl.replace('http', 'ws')}/api/socket.io/?EIO=4&transport=websocket`)
    const listeners = async () => (await other.app.inject('/metrics')).body.match(/^atoll_event_listeners (\d+)$/m)?.[1]
    client.on('error', () => undefined)
    client.once('message', () => client.send(`40${JSON.stringify({ token: world.principal.apiKey })}`))
    await until('it listens', async () => (await listeners()) === '1')
    client.pause()
    const { organizationId } = world.principal
    const event = { kind: 'volume', organizationId, from: 'x'.repeat(7_000), to: 'y' }
    const { sql } = world.api.database
    await until('it is cut off', async () => {
      const flood = Array.from({ length: 300 }, () => JSON.stringify({ ...event, id: randomUUID() }))
      await sql`select pg_notify(${RESOURCE_EVENT_CHANNEL}, payload) from unnest(${flood}::text[]) as payload`
      return (await listeners()) === '0'
    })
    client.terminate()
  })

  it('when it says anything', async () => {
    const { socket } = await listen()
    socket.emit('hello')
    await until('it is cut off', () => !socket.connected)
  })
})

describe('the endpoint', () => {
  it('takes nothing but WebSockets', async () => {
    const answer = await fetch(`${world.url}/api/socket.io/?EIO=4&transport=polling`)
    expect(answer.status).toBe(404)
    const socket = io(world.url, {
      path: '/api/socket.io/',
      transports: ['polling'],
      reconnection: false,
      forceNew: true,
    })
    sockets.push(socket)
    await expect(
      new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('connect_error', reject)),
    ).rejects.toThrow()
  })
})
