import { randomUUID } from 'node:crypto'
import type { ErrorBody, Sandbox, Snapshot, Volume, Workspace } from '@atoll/protocol'
import { Sandbox as SandboxSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Answer, SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { createSecondRunner } from '../testing/second-runner.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld
let count = 0

beforeAll(async () => {
  world = await createSandboxWorld()
})
beforeEach(() => {
  world.runner.holdings.finishes = true
})
afterAll(() => world[Symbol.asyncDispose]())

const messageOf = ({ body }: Answer): string => (body as ErrorBody).message
const newName = () => `base/app:${++count}`

async function snapshot(body: object = {}, as = world.principal): Promise<Snapshot> {
  const made = await world.call('POST', '/snapshots', {
    as,
    body: { name: newName(), imageName: 'debian:12', ...body },
  })
  const { id } = made.body as Snapshot
  const get = async () => (await world.call('GET', `/snapshots/${id}`, { as })).body as Snapshot
  await until('the snapshot is active', async () => (await get()).state === 'active')
  return await get()
}

async function volume(name: string = randomUUID()): Promise<Volume> {
  const { id } = (await world.call('POST', '/volumes', { body: { name } })).body as Volume
  const get = async () => (await world.call('GET', `/volumes/${id}`)).body as Volume
  await until('the volume is ready', async () => (await get()).state === 'ready')
  return await get()
}

describe('a sandbox from a snapshot', () => {
  it('has what the snapshot gives, by its name and by its id', async () => {
    const { id, name, ref } = await snapshot({ cpu: 2, memory: 3, disk: 4, entrypoint: ['serve', '--all'] })
    for (const wanted of [name, id, id.toUpperCase()]) {
      const sandbox = await world.create({ snapshot: wanted })
      expect(sandbox).toMatchObject({ snapshot: name, state: 'started', cpu: 2, memory: 3, disk: 4 })
      expect(world.runner.get(sandbox.id).spec).toMatchObject({
        ...{ snapshot: ref, entrypoint: ['serve', '--all'] },
        limits: { cpu: 2, memoryGiB: 3, diskGiB: 4 },
      })
    }
    const used = (await world.call('GET', `/snapshots/${id}`)).body as Snapshot
    expect(used.lastUsedAt).not.toBeNull()
  })

  it('takes a general one where its organization has none of that name, and its own before that', async () => {
    const admin = await world.createPrincipal({ systemRole: 'admin' })
    const name = newName()
    const general = await snapshot({ name, general: true, cpu: 2 }, admin)
    expect((await world.create({ snapshot: name })).cpu).toBe(2)
    const own = await snapshot({ name, cpu: 3 })
    expect((await world.create({ snapshot: name })).cpu).toBe(3)
    expect((await world.create({ snapshot: general.id })).cpu).toBe(2)
    expect((await world.create({ snapshot: own.id })).cpu).toBe(3)
  })

  it('is refused while the snapshot is not active, is disabled, unknown or of others', async () => {
    const { id, name } = await snapshot()
    const refusal = async (wanted: string) => {
      const answer = await world.call('POST', '/sandbox', { body: { snapshot: wanted } })
      return [answer.status, messageOf(answer)]
    }
    await world.call('POST', `/snapshots/${id}/deactivate`)
    expect(await refusal(name)).toEqual([400, `Snapshot ${name} is inactive`])
    await world.call('POST', `/snapshots/${id}/activate`)
    await world.call('PATCH', `/snapshots/${id}/toggle`, { body: { enabled: false } })
    expect(await refusal(name)).toEqual([400, `Snapshot ${name} is disabled`])
    const foreign = await snapshot({}, await world.createPrincipal())
    expect(await refusal(foreign.id)).toEqual([400, `Snapshot ${foreign.id} not found`])
    const resources = await world.call('POST', '/sandbox', { body: { snapshot: name, cpu: 2 } })
    expect(messageOf(resources)).toBe('Cannot specify Sandbox resources when using a snapshot')
  })

  it('keeps its snapshot on its runner when that is deleted, until it is gone itself', async () => {
    const { id, name, ref = '' } = await snapshot()
    const sandbox = await world.create({ snapshot: name })
    await world.call('DELETE', `/snapshots/${id}`)
    await until('the snapshot is gone', async () => (await world.call('GET', `/snapshots/${id}`)).status === 404)
    expect(world.runner.holdings.snapshots.has(ref)).toBe(true)
    await world.call('DELETE', `/sandbox/${sandbox.id}`)
    await world.untilState(sandbox.id, 'destroyed')
    // The next look finds it; another deletion brings that look on.
    const other = await snapshot()
    await world.call('DELETE', `/snapshots/${other.id}`)
    await until('its runner is rid of it', () => !world.runner.holdings.snapshots.has(ref))
  })

  it('of the workspace generation may have other resources', async () => {
    const { name } = await snapshot({ cpu: 2 })
    const { body } = await world.call('POST', '/workspace', { body: { image: name, memory: 7 } })
    expect(body).toMatchObject({ image: name, cpu: 2, memory: 7, disk: 3, state: 'started' })
  })
})

describe('a sandbox on a runner without its snapshot', () => {
  it('has it brought there from one that has it, and shows so meanwhile', async () => {
    const { name, ref = '' } = await snapshot()
    await using second = await createSecondRunner(world)
    second.runner.holdings.finishes = false
    // Nothing more fits on the first runner.
    await world.api.database.sql`update runners set cpu = 0 where name = 'local'`
    const creating = world.create({ snapshot: name })
    await until('it was asked for', () => second.runner.holdings.snapshots.has(ref))
    const [row] = await world.api.database.sql<{ id: string }[]>`
      select id from sandboxes where state = 'pulling_snapshot'`
    expect(await world.get(row?.id ?? '')).toMatchObject({ state: 'pulling_snapshot', runnerId: second.id })
    await until('its content arrived', () => second.runner.holdings.get(ref).content !== undefined)
    expect(second.runner.holdings.get(ref)).toMatchObject({ source: { kind: 'import' } })
    expect(second.runner.holdings.get(ref).content?.toString()).toBe(`export of ${ref}`)
    second.runner.holdings.advance(ref, 'active')
    const sandbox = await creating
    expect([sandbox.state, sandbox.runnerId]).toEqual(['started', second.id])
    // The next sandbox finds the snapshot there.
    expect((await world.create({ snapshot: name })).state).toBe('started')
    await world.api.database.sql`update runners set cpu = 64 where name = 'local'`
    for (const { id } of (await world.call('GET', '/sandbox')).body as Sandbox[])
      await world.call('DELETE', `/sandbox/${id}`)
    await until('all are gone', async () => ((await world.call('GET', '/sandbox')).body as Sandbox[]).length === 0)
  })

  it('is in error when it cannot be brought there', async () => {
    const { name, ref = '' } = await snapshot()
    await using second = await createSecondRunner(world)
    second.runner.holdings.finishes = false
    await world.api.database.sql`update runners set cpu = 0 where name = 'local'`
    const creating = world.call('POST', '/sandbox', { body: { snapshot: name } })
    await until('its content arrived', () => second.runner.holdings.snapshots.get(ref)?.content !== undefined)
    second.runner.holdings.advance(ref, 'error', 'no space left')
    const answer = await creating
    expect([answer.status, messageOf(answer)]).toEqual([
      400,
      'The snapshot could not be brought to its runner: no space left',
    ])
    await world.api.database.sql`update runners set cpu = 64 where name = 'local'`
  })
})

describe('a sandbox with a build of its own', () => {
  const build = () => ({ dockerfileContent: `FROM debian:12\nRUN echo ${++count}` })

  it('is answered at once, goes through the build and starts', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const buildInfo = build()
    const made = (await world.call('POST', '/sandbox', { body: { buildInfo, cpu: 2, memory: 2 } })).body as Sandbox
    expect(Value.Check(SandboxSchema, made)).toBe(true)
    expect(made).toMatchObject({ state: 'pending_build', cpu: 2, memory: 2, disk: 3, buildInfo })
    expect(made).not.toHaveProperty('snapshot')
    await until('the runner was asked', () => holdings.made.some(({ source }) => isBuildOf(source, buildInfo)))
    const ref = holdings.made.find(({ source }) => isBuildOf(source, buildInfo))?.snapshot.ref ?? ''
    holdings.advance(ref, 'building')
    await world.untilState(made.id, 'building_snapshot')
    expect(((await world.call('GET', `/workspace/${made.id}`)).body as Workspace).state).toBe('building_image')
    const refused = await world.call('POST', `/sandbox/${made.id}/start`)
    expect([refused.status, messageOf(refused)]).toEqual([400, 'Sandbox state change in progress'])
    // Another sandbox with the same content waits for the same build.
    const second = (await world.call('POST', '/sandbox', { body: { buildInfo } })).body as Sandbox
    expect(second.state).toBe('building_snapshot')
    const logs = await world.call('GET', `/sandbox/${made.id}/build-logs`)
    expect([logs.status, logs.body]).toEqual([200, 'making build\n'])
    const { url } = (await world.call('GET', `/sandbox/${made.id}/build-logs-url`)).body as { url: string }
    expect(url).toBe(`${world.url}/api/sandbox/${made.id}/build-logs`)
    holdings.advance(ref, 'active')
    await world.untilState(made.id, 'started')
    await world.untilState(second.id, 'started')
    expect(holdings.calls.filter((call) => call === `make ${ref}`)).toHaveLength(1)
    // A snapshot without a name is in no list.
    const names = ((await world.call('GET', '/snapshots?limit=1000')).body as { items: Snapshot[] }).items
    expect(names.some((item) => item.ref === ref)).toBe(false)
  })

  it('whose build fails is build_failed with the reason, and can be deleted', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const buildInfo = build()
    const { id } = (await world.call('POST', '/sandbox', { body: { buildInfo } })).body as Sandbox
    await until('the runner was asked', () => holdings.made.some(({ source }) => isBuildOf(source, buildInfo)))
    const ref = holdings.made.find(({ source }) => isBuildOf(source, buildInfo))?.snapshot.ref ?? ''
    holdings.advance(ref, 'building')
    holdings.advance(ref, 'error', 'RUN: exit 1')
    await world.untilState(id, 'build_failed')
    expect(await world.get(id)).toMatchObject({ errorReason: 'RUN: exit 1' })
    const workspace = (await world.call('GET', `/workspace/${id}`)).body as Workspace
    expect([workspace.state, workspace.errorReason]).toEqual(['error', 'RUN: exit 1'])
    expect((await world.call('POST', `/sandbox/${id}/start`)).status).toBe(400)
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
    // The same content is tried again.
    holdings.finishes = true
    const again = (await world.call('POST', '/sandbox', { body: { buildInfo } })).body as Sandbox
    await world.untilState(again.id, 'started')
  })

  it('that is deleted meanwhile never starts', async () => {
    const { holdings } = world.runner
    holdings.finishes = false
    const { id } = (await world.call('POST', '/sandbox', { body: { buildInfo: build() } })).body as Sandbox
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
  })

  it('is all that has build logs', async () => {
    const { id } = await world.create()
    expect((await world.call('GET', `/sandbox/${id}/build-logs`)).status).toBe(404)
    expect((await world.call('GET', `/sandbox/${id}/build-logs-url`)).status).toBe(404)
  })
})

function isBuildOf(
  source: { kind: string } | undefined,
  { dockerfileContent }: { dockerfileContent: string },
): boolean {
  return source?.kind === 'build' && 'dockerfile' in source && source.dockerfile === dockerfileContent
}

describe('a sandbox with volumes', () => {
  it('has them by id and by name, a part of one too', async () => {
    const [a, b] = [await volume(), await volume(`data-${randomUUID()}`)]
    const volumes = [
      { volumeId: a.id, mountPath: '/data' },
      { volumeId: b.name, mountPath: '/home/daytona/b', subpath: 'sub/dir' },
    ]
    const sandbox = await world.create({ volumes })
    const expected = [volumes[0], { ...volumes[1], volumeId: b.id }]
    expect(sandbox.volumes).toEqual(expected)
    expect(world.runner.get(sandbox.id).spec?.volumes).toEqual(expected)
    expect(((await world.call('GET', `/volumes/${a.id}`)).body as Volume).lastUsedAt).not.toBeNull()
    const inUse = await world.call('DELETE', `/volumes/${a.id}`)
    expect([inUse.status, messageOf(inUse)]).toEqual([409, 'Volume is used by 1 sandboxes'])
    await world.call('DELETE', `/sandbox/${sandbox.id}`)
    await world.untilState(sandbox.id, 'destroyed')
    expect((await world.call('DELETE', `/volumes/${a.id}`)).status).toBe(200)
  })

  it('goes to the runner that has them', async () => {
    const { id } = await volume()
    await using _second = await createSecondRunner(world)
    for (let round = 0; round < 4; round++) {
      const sandbox = await world.create({ volumes: [{ volumeId: id, mountPath: '/v' }] })
      expect(world.runner.sandboxes.has(sandbox.id)).toBe(true)
    }
  })

  it.each([
    ['a relative path', 'v', 'must be absolute'],
    ['the root', '/', 'must be absolute'],
    ['a path with dots', '/a/../b', 'no empty part'],
    ['a folder of the system', '/proc/x', 'Nothing can be mounted'],
    ['a folder above ours', '/opt', 'Nothing can be mounted'],
    ['half of a surrogate pair', '/\ud800', 'no half of a surrogate pair'],
  ])('is refused with %s', async (_, mountPath, message) => {
    const { id } = await volume()
    const answer = await world.call('POST', '/sandbox', { body: { volumes: [{ volumeId: id, mountPath }] } })
    expect([answer.status, messageOf(answer)]).toEqual([400, expect.stringContaining(message)])
  })

  it('is refused with one of others, and with two at one path', async () => {
    const { id } = await volume()
    const as = await world.createPrincipal()
    const mounts = [{ volumeId: id, mountPath: '/v' }]
    const foreign = await world.call('POST', '/sandbox', { as, body: { volumes: mounts } })
    expect([foreign.status, messageOf(foreign)]).toEqual([400, `Volume ${id} not found`])
    const twice = await world.call('POST', '/sandbox', { body: { volumes: [...mounts, ...mounts] } })
    expect([twice.status, messageOf(twice)]).toEqual([400, 'mountPath /v is there twice'])
  })
})

describe('a snapshot of a sandbox', () => {
  it('is made while the sandbox shows snapshotting, which then is as it was, and can be used', async () => {
    const { holdings } = world.runner
    const sandbox = await world.create({})
    holdings.finishes = false
    const name = newName()
    const answer = await world.call('POST', `/sandbox/${sandbox.id}/snapshot`, { body: { name } })
    expect([answer.status, (answer.body as Sandbox).state]).toEqual([200, 'snapshotting'])
    expect(Value.Check(SandboxSchema, answer.body)).toBe(true)
    const busy = await world.call('POST', `/sandbox/${sandbox.id}/stop`)
    expect([busy.status, messageOf(busy)]).toEqual([400, 'Sandbox state change in progress'])
    expect((await world.call('POST', `/sandbox/${sandbox.id}/snapshot`, { body: { name: newName() } })).status).toBe(
      400,
    )
    const { ref = '', id } = (await world.call('GET', `/snapshots/${encodeURIComponent(name)}`)).body as Snapshot
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    expect(holdings.get(ref).source).toEqual({ kind: 'sandbox', sandboxId: sandbox.id })
    holdings.advance(ref, 'active')
    await world.untilState(sandbox.id, 'started')
    expect((await world.call('GET', `/snapshots/${id}`)).body).toMatchObject({
      ...{ state: 'active', sourceSandboxId: sandbox.id, cpu: 1, mem: 1, disk: 3 },
    })
    const list = await world.call('GET', `/snapshots?sourceSandboxId=${sandbox.id}`)
    expect((list.body as { total: number }).total).toBe(1)
    expect((await world.create({ snapshot: name })).state).toBe('started')
    expect((await world.call('POST', `/sandbox/${sandbox.id}/stop`)).status).toBe(200)
  })

  it('keeps one that is deleted when it stops until it is done: a stop is refused like any other', async () => {
    const { holdings } = world.runner
    const { id } = await world.create({ autoDeleteInterval: 0 })
    holdings.finishes = false
    const name = newName()
    await world.call('POST', `/sandbox/${id}/snapshot`, { body: { name } })
    const busy = await world.call('POST', `/sandbox/${id}/stop`)
    expect([busy.status, messageOf(busy)]).toEqual([400, 'Sandbox state change in progress'])
    expect((await world.get(id)).state).toBe('snapshotting')
    const { ref = '' } = (await world.call('GET', `/snapshots/${encodeURIComponent(name)}`)).body as Snapshot
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    holdings.advance(ref, 'active')
    await world.untilState(id, 'started')
    expect((await world.call('POST', `/sandbox/${id}/stop`)).status).toBe(200)
    await world.untilState(id, 'destroyed')
  })

  it('does not keep the sandbox from being deleted, whose events say what it was', async () => {
    const { id } = await world.create({})
    world.runner.holdings.finishes = false
    await world.call('POST', `/sandbox/${id}/snapshot`, { body: { name: newName() } })
    expect((await world.call('DELETE', `/sandbox/${id}`)).status).toBe(200)
    await world.untilState(id, 'destroyed')
    const { sql } = world.api.database
    const events = await sql`select from_state, to_state from sandbox_events where sandbox_id = ${id} order by id`
    expect(events.slice(-3)).toEqual([
      { from_state: 'started', to_state: 'snapshotting' },
      { from_state: 'snapshotting', to_state: 'destroying' },
      { from_state: 'destroying', to_state: 'destroyed' },
    ])
  })

  it('that fails leaves the sandbox as it was', async () => {
    const { holdings } = world.runner
    const sandbox = await world.create({ name: `named-${randomUUID()}` })
    holdings.finishes = false
    const name = newName()
    await world.call('POST', `/sandbox/${sandbox.name}/snapshot`, { body: { name } })
    const { ref = '' } = (await world.call('GET', `/snapshots/${encodeURIComponent(name)}`)).body as Snapshot
    await until('the runner was asked', () => holdings.snapshots.has(ref))
    holdings.advance(ref, 'error', 'disk full')
    await world.untilState(sandbox.id, 'started')
    expect((await world.call('GET', `/snapshots/${encodeURIComponent(name)}`)).body).toMatchObject({
      ...{ state: 'error', errorReason: 'disk full' },
    })
  })

  it('is refused under a name that is taken, which leaves nothing behind', async () => {
    const { name } = await snapshot()
    const sandbox = await world.create({})
    expect((await world.call('POST', `/sandbox/${sandbox.id}/snapshot`, { body: { name } })).status).toBe(409)
    expect((await world.get(sandbox.id)).state).toBe('started')
    const memory = await world.call('POST', `/sandbox/${sandbox.id}/snapshot`, {
      body: { name: newName(), includeMemory: true },
    })
    expect(memory.status).toBe(400)
    const as = await world.createPrincipal()
    expect(
      (await world.call('POST', `/sandbox/${sandbox.id}/snapshot`, { as, body: { name: newName() } })).status,
    ).toBe(404)
  })
})
