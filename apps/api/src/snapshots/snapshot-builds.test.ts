import { request } from 'node:http'
import type { ErrorBody, Image, Snapshot } from '@atoll/protocol'
import { Image as ImageSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { messageOf, snapshotCalls } from '../testing/snapshot-calls.ts'
import type { TestPrincipal } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'
import { createSnapshotChanges } from './snapshot-changes.ts'
import { createSnapshotStore } from './snapshot-store.ts'

let world: SandboxWorld
let admin: TestPrincipal

beforeAll(async () => {
  world = await createSandboxWorld()
  admin = await world.createPrincipal({ systemRole: 'admin' })
})
beforeEach(() => {
  world.runner.holdings.finishes = true
  world.runner.holdings.refusals.clear()
})
afterAll(() => world[Symbol.asyncDispose]())

const { newName, create, get, untilState, active } = snapshotCalls(() => world)

describe('a build', () => {
  const buildInfo = { dockerfileContent: 'FROM debian:12\nRUN true' }

  it('goes its way with its log, and is asked for once for equal content', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const first = await create({ imageName: undefined, buildInfo })
    const second = await create({ imageName: undefined, buildInfo })
    expect(first.state).toBe('build_pending')
    expect(first.buildInfo).toMatchObject({
      ...buildInfo,
      contextHashes: [],
      snapshotRef: expect.stringMatching(/^daytona-[0-9a-f]{64}:daytona$/),
    })
    expect(second.ref).toBe(first.ref)
    const ref = first.ref ?? ''
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    holdings.advance(ref, 'building')
    await untilState(first.id, 'building')
    await untilState(second.id, 'building')
    holdings.advance(ref, 'active')
    await untilState(first.id, 'active')
    await untilState(second.id, 'active')
    // The remaining snapshot still needs the files.
    await world.call('DELETE', `/snapshots/${first.id}`)
    await until('it is gone', async () => (await world.call('GET', `/snapshots/${first.id}`)).status === 404)
    expect(holdings.snapshots.has(ref)).toBe(true)
    expect((await get(second.id)).state).toBe('active')
  })

  it('that failed is build_failed with the reason, and is built anew when it is asked for again', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const info = { dockerfileContent: 'FROM debian:12\nRUN false' }
    const failed = await create({ imageName: undefined, buildInfo: info })
    const ref = failed.ref ?? ''
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    holdings.advance(ref, 'building')
    holdings.advance(ref, 'error', 'RUN false: exit 1')
    await untilState(failed.id, 'build_failed')
    expect((await get(failed.id)).errorReason).toBe('RUN false: exit 1')
    holdings.finishes = true
    const again = await active({ imageName: undefined, buildInfo: info })
    expect(again.ref).toBe(ref)
  })

  it('is not deleted between the create that has found it and the row of its sandbox', async () => {
    const info = { dockerfileContent: 'FROM debian:12\nRUN echo found' }
    const { id, ref = '' } = await active({ imageName: undefined, buildInfo: info })
    const { database } = world.api
    const changes = createSnapshotChanges({ subscribe: () => undefined })
    const store = createSnapshotStore({ database, changes, now: Date.now })
    const isWaiting = async () =>
      (
        await database.sql`select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()`
      ).length > 0
    const { deleting } = await store.transaction(async (tx) => {
      expect(await store.findBuild(tx, world.principal.organizationId, ref)).toMatchObject({ id })
      let isOver = false
      const deleting = world.call('DELETE', `/snapshots/${id}`).finally(() => {
        isOver = true
      })
      await until('the deletion waits, or is over', async () => isOver || (await isWaiting()))
      expect(isOver).toBe(false)
      return { deleting }
    })
    expect((await deleting).status).toBe(200)
  })

  it('whose context was never uploaded fails and says so', async () => {
    const info = { dockerfileContent: 'FROM debian:12\nCOPY . .', contextHashes: ['abc'] }
    const { id } = await create({ imageName: undefined, buildInfo: info })
    await untilState(id, 'build_failed')
    expect((await get(id)).errorReason).toBe('The build context abc was never uploaded')
  })

  it('has its log read whole, and followed until it ends, in spaced chunks for old SDKs', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const {
      id,
      name,
      ref = '',
    } = await create({
      imageName: undefined,
      buildInfo: { dockerfileContent: 'FROM debian:12\nRUN echo é' },
    })
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    holdings.advance(ref, 'building')
    const now = await world.call('GET', `/snapshots/${id}/build-logs`)
    expect([now.status, now.headers.get('content-type'), now.body]).toEqual([
      200,
      'text/plain; charset=utf-8',
      'making build\n',
    ])
    const { url } = (await world.call('GET', `/snapshots/${encodeURIComponent(name)}/build-logs-url`)).body as {
      url: string
    }
    expect(url).toBe(`${world.url}/api/snapshots/${id}/build-logs`)
    const followed = fetch(`${url}?follow=true`, { headers: world.principal.headers })
    const response = await followed
    const text = response.text()
    for (let line = 0; line < 50; line++) holdings.print(ref, `line ${line} é\n`)
    holdings.advance(ref, 'active')
    const lines = (await text).trimEnd().split('\n')
    expect(lines).toEqual(['making build', ...Array.from({ length: 50 }, (_, line) => `line ${line} é`)])
  })

  it('is all that has a build log', async () => {
    const { id } = await active()
    const answer = await world.call('GET', `/snapshots/${id}/build-logs`)
    expect([answer.status, messageOf(answer)]).toEqual([404, 'It has no build info, so there are no build logs'])
  })
})

it.each(['FROM scratch\0', 'FROM scratch \ud800'])(
  'a Dockerfile that cannot be stored is refused: %j',
  async (content) => {
    const body = { name: newName(), buildInfo: { dockerfileContent: content } }
    const answer = await world.call('POST', '/snapshots', { body })
    expect([answer.status, (answer.body as ErrorBody).message]).toEqual([
      400,
      'buildInfo.dockerfileContent holds a NUL or half of a surrogate pair',
    ])
  },
)

describe('ways of ours to make a snapshot', () => {
  it('an archive is passed on as it comes, and becomes one', async () => {
    const name = newName()
    const query = `name=${encodeURIComponent(name)}&cpu=2&entrypoint=sleep&entrypoint=inf`
    const post = () =>
      fetch(`${world.url}/api/snapshots/upload?${query}`, {
        ...{ method: 'POST', headers: { ...world.principal.headers, 'content-type': 'application/x-tar' } },
        body: Buffer.alloc(300_000, 'tar'),
      })
    const response = await post()
    expect(response.status).toBe(200)
    const made = (await response.json()) as Snapshot
    await untilState(made.id, 'active')
    expect(await get(name)).toMatchObject({ cpu: 2, entrypoint: ['sleep', 'inf'], size: 0.5 })
    const held = world.runner.holdings.get(made.ref ?? '')
    expect([held.source, held.content?.length]).toEqual([{ kind: 'archive' }, 300_000])
    expect((await post()).status).toBe(409)
  })

  it('an archive that its runner refuses leaves a snapshot in error, and an answer that says why', async () => {
    const refusal = { status: 400, code: 'BAD_REQUEST', message: 'not a tar archive' }
    world.runner.holdings.refusals.set('content', refusal)
    const name = newName()
    const response = await fetch(`${world.url}/api/snapshots/upload?name=${encodeURIComponent(name)}`, {
      ...{ method: 'POST', headers: world.principal.headers, body: 'nonsense' },
    })
    expect([response.status, ((await response.json()) as ErrorBody).message]).toEqual([400, 'not a tar archive'])
    expect(await get(name)).toMatchObject({ state: 'error', errorReason: 'not a tar archive' })
  })

  it('an archive for a region without a runner leaves nothing', async () => {
    const made = await world.call('POST', '/regions', { body: { name: 'lab' } })
    const name = newName()
    const query = new URLSearchParams({ name, regionId: (made.body as { id: string }).id })
    const response = await fetch(`${world.url}/api/snapshots/upload?${query}`, {
      ...{ method: 'POST', headers: world.principal.headers, body: 'tar' },
    })
    expect([response.status, ((await response.json()) as ErrorBody).code]).toEqual([400, 'NO_AVAILABLE_RUNNER'])
    expect((await world.call('GET', `/snapshots/${encodeURIComponent(name)}`)).status).toBe(404)
  })

  it('an archive whose sender leaves half way is in error, and can be sent again under another name', async () => {
    const name = newName()
    const url = new URL(`${world.url}/api/snapshots/upload?name=${encodeURIComponent(name)}`)
    const headers = { ...world.principal.headers, 'content-length': '1000000' }
    const sending = request(url, { method: 'POST', headers })
    sending.on('error', () => undefined)
    sending.write(Buffer.alloc(100_000, 'tar'))
    const isWaiting = async () => {
      const { ref = '' } = await get(name)
      return world.runner.holdings.snapshots.has(ref)
    }
    await until('its runner waits for it', isWaiting)
    sending.destroy()
    await untilState(name, 'error')
    expect((await get(name)).errorReason).toBe('The upload was cut short')
    expect((await world.call('DELETE', `/snapshots/${encodeURIComponent(name)}`)).status).toBe(200)
    await until(
      'it is gone',
      async () => (await world.call('GET', `/snapshots/${encodeURIComponent(name)}`)).status === 404,
    )
  })

  it('a folder of the host is for administrators', async () => {
    const body = { name: newName(), directory: '/srv/root' }
    expect((await world.call('POST', '/snapshots/directory', { body })).status).toBe(403)
    const made = (await world.call('POST', '/snapshots/directory', { as: admin, body })).body as Snapshot
    await untilState(made.id, 'active', admin)
    expect(world.runner.holdings.get(made.ref ?? '').source).toEqual({ kind: 'directory', path: '/srv/root' })
  })
})

describe('images', () => {
  it('are snapshots whose name is the reference', async () => {
    const as = await world.createPrincipal()
    const made = (await world.call('POST', '/images', { as, body: { name: 'redis:8', entrypoint: ['x'] } }))
      .body as Image
    expect(Value.Check(ImageSchema, made)).toBe(true)
    expect(made).toMatchObject({ name: 'redis:8', state: 'pending', entrypoint: ['x'] })
    await untilState(made.id, 'active', as)
    expect(await get('redis:8', as)).toMatchObject({ imageName: 'redis:8' })
    const built = await world.call('POST', '/images/build', {
      as,
      body: { name: 'mine:1', buildInfo: { dockerfileContent: 'FROM a:1' } },
    })
    expect(built.body).toMatchObject({ name: 'mine:1', state: 'build_pending' })
    await untilState('mine:1', 'active', as)
    const list = (await world.call('GET', '/images', { as })).body as { items: Image[]; total: number }
    expect([list.total, list.items.map(({ name }) => name).sort()]).toEqual([2, ['mine:1', 'redis:8']])
    expect((await world.call('GET', `/images/${made.id}`, { as })).body).toMatchObject({ state: 'active' })
    await world.call('POST', `/snapshots/${made.id}/deactivate`, { as })
    expect((await world.call('GET', '/images/redis%3A8', { as })).body).toMatchObject({ enabled: false })
    const off = await world.call('PATCH', `/images/${made.id}/toggle`, { as, body: { enabled: false } })
    expect(off.body).toMatchObject({ enabled: false })
    expect((await world.call('DELETE', `/images/${made.id}`, { as })).status).toBe(200)
    const bad = await world.call('POST', '/images', { as, body: { name: 'redis:latest' } })
    expect(bad.status).toBe(400)
  })
})
