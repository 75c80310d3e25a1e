import type { Sandbox } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApi } from '../app.ts'
import { openSocket, readAnswer } from '../testing/raw-http.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'

const SIZE = 3
const NOBODY = '9c5e0f0e-0000-4000-8000-000000000000'

let world: SandboxWorld
beforeAll(async () => {
  world = await createSandboxWorld({ config: { warmPool: { snapshots: ['host'], min: SIZE, max: SIZE } } })
})
afterAll(() => world[Symbol.asyncDispose]())

async function members(): Promise<{ id: string; state: string; desired_state: string }[]> {
  return await world.api.database.sql`
    select id, state, desired_state from sandboxes where warm_pool_id is not null and state <> 'destroyed'
    order by created_at`
}

async function untilReady(size: number): Promise<string[]> {
  await until(`${size} are ready`, async () => {
    const all = await members()
    return all.length === size && all.every((row) => row.state === 'started' && row.desired_state === 'started')
  })
  return (await members()).map(({ id }) => id)
}

describe('a member', () => {
  it('is known to nobody by its id (W2)', async () => {
    const [id = ''] = await untilReady(SIZE)
    const admin = await world.createPrincipal({ systemRole: 'admin' })
    const routes = [
      ...(['', '/build-logs', '/ports/1/preview-url', '/signing-key'] as const).map((path) => ['GET', path] as const),
      ...(['/start', '/stop', '/archive', '/recover', '/backup', '/autostop/1'] as const).map(
        (path) => ['POST', path] as const,
      ),
      ['DELETE', ''] as const,
    ]
    for (const as of [world.principal, admin]) {
      for (const [method, path] of routes) {
        const ask = async (which: string) => {
          const { status, body } = await world.call(method, `/sandbox/${which}${path}`, { as })
          return { status, message: (body as { message?: string }).message?.replaceAll(which, '') }
        }
        const given = await ask(id)
        expect(given).toEqual(await ask(NOBODY))
        expect(given.status).toBe(404)
      }
      for (const path of [`/toolbox/${id}/toolbox/work-dir`, `/toolbox-proxy/${id}/work-dir`]) {
        expect((await world.call('GET', path, { as })).status).toBe(404)
      }
    }
    expect((await world.call('GET', `/runners/by-sandbox/${id}`, { as: admin })).status).toBe(404)
    expect(world.runner.get(id).claims).toEqual([])
  })

  it('is in no list, no usage and no event (W2)', async () => {
    await untilReady(SIZE)
    const principal = await world.createPrincipal()
    for (const path of ['/sandbox', '/sandbox/paginated', '/workspace']) {
      const { body } = await world.call('GET', path, { as: principal })
      expect(Array.isArray(body) ? body : (body as { items: unknown[] }).items).toEqual([])
    }
    const path = `/organizations/${principal.organizationId}/usage`
    expect((await world.call('GET', path, { as: principal })).body).toMatchObject({ currentWorkspaces: 0 })
    const { sql } = world.api.database
    const told = await sql`
      select 1 from sandbox_events where organization_id is null and event = 'claim'
      union all select 1 from sandbox_events join sandboxes on sandboxes.id = sandbox_id
      where warm_pool_id is not null and sandbox_events.organization_id is not null`
    expect(told).toHaveLength(0)
  })

  it('lets nobody in by the secrets that it has (W2)', async () => {
    const [id = ''] = await untilReady(SIZE)
    const [row] = await world.api.database.sql`select auth_token from sandboxes where id = ${id}`
    const path = `/api/toolbox-proxy/${id}/x?DAYTONA_SANDBOX_AUTH_KEY=${row?.['auth_token']}`
    const socket = await openSocket(Number(new URL(world.url).port))
    socket.write(`GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: WebSocket\r\n\r\n`)
    expect((await readAnswer(socket)).status).toBe(401)
    const preview = await fetch(world.url, { headers: { host: `3000-${id}.localhost` } })
    expect(preview.status).not.toBe(200)
  })
})

it('nobody can send a claim, to a sandbox of their own either (W6)', async () => {
  const { id } = await world.create()
  await until('it is claimed', () => world.runner.get(id).claims.length === 1)
  const { port } = new URL(world.url)
  const { authorization } = world.principal.headers
  for (const path of [`/api/toolbox/${id}/toolbox/`, `/api/toolbox-proxy/${id}/`]) {
    for (const host of ['x', `3000-${id}.localhost`]) {
      const socket = await openSocket(Number(port))
      const head = [`host: ${host}`, `authorization: ${authorization}`, 'content-length: 2', '', '{}']
      socket.write([`CLAIM ${path} HTTP/1.1`, ...head].join('\r\n'))
      expect((await readAnswer(socket)).status).toBe(400)
    }
  }
  expect(world.runner.get(id).claims).toHaveLength(1)
})

describe('a pool', () => {
  it('is filled once by two replicas, and refilled after claims (W9)', async () => {
    await untilReady(SIZE)
    const other = await createApi({
      config: world.api.config,
      secrets: { ...world.api.secrets, runnerToken: undefined },
      address: world.api.database.address,
      log: createLogger('other', 'silent'),
    })
    try {
      const before = await members()
      const claimed = await Promise.all([world.create(), world.create()])
      expect(before.map(({ id }) => id)).toEqual(expect.arrayContaining(claimed.map(({ id }) => id)))
      const after = await untilReady(SIZE)
      expect(after).toHaveLength(SIZE)
      const { sql } = world.api.database
      const wasted = await sql`select 1 from sandboxes where warm_pool_id is not null and state = 'destroyed'`
      expect(wasted).toHaveLength(0)
    } finally {
      await other[Symbol.asyncDispose]()
    }
  })

  it('replaces a member that ends by itself (W10)', async () => {
    const [id = ''] = await untilReady(SIZE)
    await world.runner.crash(id, 'killed')
    await until('it is gone', async () => !(await members()).some((row) => row.id === id))
    expect(await untilReady(SIZE)).not.toContain(id)
    expect(world.runner.sandboxes.has(id)).toBe(false)
  })

  it('gives way where a create needs the room (W7)', async () => {
    const before = await untilReady(SIZE)
    const { sql } = world.api.database
    const [used] = await sql<{ count: number }[]>`
      select count(*)::integer as count from sandboxes where state <> 'destroyed'`
    await sql`update runners set capacity = ${used?.count ?? 0}`
    const { id } = await world.create({ user: 'root' })
    expect(before).not.toContain(id)
    const left = await untilReady(SIZE - 1)
    expect(before).toEqual(expect.arrayContaining(left))
    await sql`update runners set capacity = null`
    await sql`update warm_pools set paused_until = null`
    await untilReady(SIZE)
  })

  it('serves creates for as long as its runner has room for what they get (W7, W3)', async () => {
    const before = await untilReady(SIZE)
    const { sql } = world.api.database
    const [used] = await sql<{ count: number }[]>`
      select count(*)::integer as count from sandboxes where state <> 'destroyed' and warm_pool_id is null`
    await sql`update runners set capacity = ${(used?.count ?? 0) + 1}`
    const { id } = await world.create()
    expect(before).toContain(id)
    const { status, body } = await world.call('POST', '/sandbox', { body: {} })
    expect({ status, body }).toMatchObject({ status: 400, body: { code: 'NO_AVAILABLE_RUNNER' } })
    await sql`update runners set capacity = null`
    await sql`update warm_pools set paused_until = null`
    await untilReady(SIZE)
  })

  it('leaves a runner that takes nothing new, and serves nobody from it (W10)', async () => {
    const before = await untilReady(SIZE)
    const { sql } = world.api.database
    await sql`update runners set draining = true`
    const { status, body } = await world.call('POST', '/sandbox', { body: {} })
    expect({ status, body }).toMatchObject({ status: 400, body: { code: 'NO_AVAILABLE_RUNNER' } })
    await untilReady(0)
    await sql`update runners set draining = false`
    const after = await untilReady(SIZE)
    expect(after.filter((id) => before.includes(id))).toEqual([])
  })

  it('ends a member of an older version of its runner (W10)', async () => {
    const [id = ''] = await untilReady(SIZE)
    await world.api.database.sql`update sandboxes set warm_runner_version = 'older' where id = ${id}`
    await until('it is gone', async () => !(await members()).some((row) => row.id === id))
    await untilReady(SIZE)
  })

  it('pauses after a member failed, and says why', async () => {
    const [id = ''] = await untilReady(SIZE)
    // A 400 is not transient, so the start is given up at once.
    world.runner.fail('start', 400, 1)
    await world.runner.crash(id, 'killed')
    const { sql } = world.api.database
    await until('it says why', async () => {
      const [pool] = await sql`select error_reason, paused_until from warm_pools where organization_id is null`
      return pool?.['error_reason'] != null && pool['paused_until'] !== null
    })
    await untilReady(SIZE - 1)
    await sql`update warm_pools set paused_until = null`
    await untilReady(SIZE)
    await until('it says nothing more', async () => {
      const [pool] = await sql`select error_reason from warm_pools where organization_id is null`
      return pool?.['error_reason'] === null
    })
  })
})

it('the metrics tell of members, claims and misses', async () => {
  await untilReady(SIZE)
  const metric = async (name: string) => {
    const text = await (await fetch(`${world.url}/metrics`)).text()
    return Number(text.match(new RegExp(`^${name} (\\d+)$`, 'm'))?.[1])
  }
  await until('they are counted', async () => (await metric('atoll_warm_pool_members')) === SIZE)
  const claims = () => metric('atoll_warm_pool_claims_total')
  const misses = () => metric('atoll_warm_pool_misses_total')
  const before = [await claims(), await misses()] as const
  const made = await Promise.all(Array.from({ length: SIZE + 1 }, () => world.create()))
  expect(made.map(({ state }: Sandbox) => state)).toEqual(made.map(() => 'started'))
  const claimed = (await claims()) - before[0]
  expect(claimed + (await misses()) - before[1]).toBe(SIZE + 1)
  // The pool may have been filled again before the last create came.
  expect(claimed).toBeGreaterThanOrEqual(SIZE)
})
