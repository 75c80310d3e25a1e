import type { ErrorBody, Sandbox, Workspace } from '@atoll/protocol'
import { Sandbox as SandboxSchema, Workspace as WorkspaceSchema } from '@atoll/protocol'
import * as fc from 'fast-check'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { UNLIMITED_QUOTAS } from '../../organizations/quota-limits.ts'
import type { Answer, SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'
import { until } from '../../testing/until.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const post = (path: string, body?: object) => world.call('POST', path, body === undefined ? {} : { body })
const messageOf = ({ status, body }: Answer) => [status, (body as ErrorBody).message]

async function stopped(body?: object): Promise<Sandbox> {
  const sandbox = await world.create(body)
  await post(`/sandbox/${sandbox.id}/stop`)
  await world.untilState(sandbox.id, 'stopped')
  return sandbox
}

async function archived(files: string): Promise<string> {
  const { id } = await stopped()
  world.runner.get(id).files = Buffer.from(files)
  await post(`/sandbox/${id}/archive`)
  await world.untilState(id, 'archived')
  return id
}

function untilBackup(id: string, state: string): Promise<void> {
  return until(`the backup is ${state}`, async () => (await world.get(id)).backupState === state)
}

describe('archive', () => {
  it('answers at once with nothing, frees the runner, and a start brings the files back', async () => {
    const { id } = await stopped()
    world.runner.get(id).files = Buffer.from('all of it')
    const hold = world.runner.hold('export')
    const answer = await post(`/sandbox/${id}/archive`)
    expect([answer.status, answer.body]).toEqual([200, ''])
    await hold.reached
    expect(await world.get(id)).toMatchObject({
      state: 'archiving',
      desiredState: 'archived',
      backupState: 'InProgress',
    })
    hold.release()
    await world.untilState(id, 'archived')
    expect(await world.get(id)).toMatchObject({ backupState: 'Completed', backupCreatedAt: expect.any(String) })
    expect(await world.get(id)).not.toHaveProperty('runnerId')
    expect(world.runner.sandboxes.has(id)).toBe(false)
    const started = await post(`/sandbox/${id}/start`)
    expect([started.status, (started.body as Sandbox).state]).toEqual([200, 'restoring'])
    await world.untilState(id, 'started')
    expect(world.runner.get(id).files.toString()).toBe('all of it')
  })

  it('carries any bytes', async () => {
    const { id } = await stopped()
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256))
    world.runner.get(id).files = bytes
    await post(`/sandbox/${id}/archive`)
    await world.untilState(id, 'archived')
    await post(`/workspace/${id}/start`)
    await world.untilState(id, 'started')
    expect(world.runner.get(id).files.equals(bytes)).toBe(true)
  })

  it('is refused unless stopped, and while anything is under way', async () => {
    const { id } = await world.create()
    expect(messageOf(await post(`/sandbox/${id}/archive`))).toEqual([400, 'Sandbox is not stopped'])
    const hold = world.runner.hold('stop')
    await post(`/sandbox/${id}/stop`)
    expect(messageOf(await post(`/sandbox/${id}/archive`))).toEqual([400, 'Sandbox state change in progress'])
    hold.release()
    await world.untilState(id, 'stopped')
    const answers = await Promise.all([1, 2, 3].map(() => post(`/workspace/${id}/archive`)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400])
    await world.untilState(id, 'archived')
    expect(messageOf(await post(`/sandbox/${id}/archive`))).toEqual([400, 'Sandbox is not stopped'])
    expect(messageOf(await post(`/sandbox/${id}/stop`))).toEqual([400, 'Sandbox is not started'])
  })

  it('of several starts of what is archived one is accepted', async () => {
    const id = await archived('x')
    const answers = await Promise.all([1, 2, 3].map(() => post(`/sandbox/${id}/start`)))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400, 400])
    await world.untilState(id, 'started')
  })

  it('and a stop at once, or two stops: one is accepted', async () => {
    for (const paths of [
      ['stop', 'stop'],
      ['stop', 'archive'],
    ]) {
      const { id } = await world.create()
      const hold = world.runner.hold('stop')
      const answers = await Promise.all(paths.map((path) => post(`/sandbox/${id}/${path}`)))
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 400])
      hold.release()
      await world.untilState(id, 'stopped')
    }
  })

  it('and a deletion at once end with nothing left', async () => {
    const { id } = await stopped()
    world.runner.get(id).files = Buffer.from('x')
    await Promise.all([post(`/sandbox/${id}/archive`), world.call('DELETE', `/sandbox/${id}`)])
    await world.untilState(id, 'destroyed')
    expect(world.runner.sandboxes.has(id)).toBe(false)
    const { sql } = world.api.database
    await until('its objects are deleted', async () => {
      const rows = await sql`select 1 from sandbox_backups where sandbox_id = ${id}`
      const objects = await sql`select 1 from stored_objects where key like ${`sandbox-backups/${id}/%`}`
      return rows.length + objects.length === 0
    })
  })

  it('takes the disk off the quota, which a start must have again', async () => {
    const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, diskGibQuota: 3 } })
    const call = (path: string) => world.call('POST', path, { as, body: {} })
    const state = async (id: string) => ((await world.call('GET', `/sandbox/${id}`, { as })).body as Sandbox).state
    const { id } = (await call('/sandbox')).body as Sandbox
    await call(`/sandbox/${id}/stop`)
    await until('stopped', async () => (await state(id)) === 'stopped')
    expect((await call('/sandbox')).status).toBe(403)
    await call(`/sandbox/${id}/archive`)
    await until('archived', async () => (await state(id)) === 'archived')
    const second = await call('/sandbox')
    expect(second.status).toBe(200)
    expect(messageOf(await call(`/sandbox/${id}/start`))).toEqual([403, expect.stringContaining('disk')])
    expect(await state(id)).toBe('archived')
  })
})

describe('backup', () => {
  it('answers with the sandbox, is refused while one is pending, and shows how far it is', async () => {
    const { id } = await world.create()
    const hold = world.runner.hold('export')
    const answer = await post(`/sandbox/${id}/backup`)
    expect([answer.status, Value.Check(SandboxSchema, answer.body)]).toEqual([200, true])
    expect(answer.body).toMatchObject({ id, state: 'started', backupState: 'Pending' })
    await hold.reached
    expect(messageOf(await post(`/workspace/${id}/snapshot`))).toEqual([400, 'Backup already in progress'])
    hold.release()
    await untilBackup(id, 'Completed')
    const workspace = (await world.call('GET', `/workspace/${id}`)).body as Workspace
    expect(workspace).toMatchObject({ snapshotState: 'Completed', snapshotCreatedAt: expect.any(String) })
    expect(JSON.parse(workspace.info?.providerMetadata ?? '')).toMatchObject({
      lastSnapshot: workspace.snapshotCreatedAt,
    })
  })

  it.each(['backup', 'snapshot'])('of a workspace is also called %s', async (name) => {
    const { id } = await world.create()
    const answer = await post(`/workspace/${id}/${name}`)
    expect([answer.status, Value.Check(WorkspaceSchema, answer.body)]).toEqual([200, true])
    await untilBackup(id, 'Completed')
    await post(`/workspace/${id}/stop`)
    await world.untilState(id, 'stopped')
    expect((await world.get(id)).backupState).toBe('None')
  })
})

describe('resize', () => {
  it('gives a running sandbox more cpu and memory, which goes on meanwhile', async () => {
    const { id } = await world.create()
    const hold = world.runner.hold('resize')
    const answer = await post(`/sandbox/${id}/resize`, { cpu: 2, memory: 4, unknownField: 1 })
    expect([answer.status, Value.Check(SandboxSchema, answer.body)]).toEqual([200, true])
    expect(answer.body).toMatchObject({ state: 'resizing', desiredState: 'resized', cpu: 1, memory: 1 })
    expect((await world.call('GET', `/toolbox/${id}/toolbox/anything`)).status).toBe(200)
    hold.release()
    await world.untilState(id, 'started')
    expect(await world.get(id)).toMatchObject({ cpu: 2, memory: 4, disk: 3, desiredState: 'started' })
    expect(world.runner.get(id).spec?.limits).toMatchObject({ cpu: 2, memoryGiB: 4, diskGiB: 3 })
  })

  it('gives a stopped one anything but less disk, and it stays stopped', async () => {
    const { id } = await stopped()
    await post(`/sandbox/${id}/resize`, { cpu: 4, memory: 2, disk: 10 })
    await world.untilState(id, 'stopped')
    expect(await world.get(id)).toMatchObject({ cpu: 4, memory: 2, disk: 10 })
    const smaller = await post(`/workspace/${id}/resize`, { cpu: 1, gpu: 0, memory: 1 })
    expect([smaller.status, smaller.body]).toEqual([201, ''])
    await world.untilState(id, 'stopped')
    expect(world.runner.get(id).spec?.limits).toMatchObject({ cpu: 1, memoryGiB: 1, diskGiB: 10 })
  })

  it.each([
    ['nothing', {}, 'Nothing to resize'],
    ['what it has', { cpu: 1, memory: 1, disk: 3 }, 'Nothing to resize'],
    ['less disk', { disk: 2 }, 'only be increased'],
    ['more disk while it runs', { disk: 4 }, 'while the sandbox is stopped'],
    ['no core', { cpu: 0 }, 'body.cpu'],
    ['half a core', { cpu: 1.5 }, 'body.cpu'],
    ['a word', { memory: 'much' }, 'body.memory'],
    ['more than any runner has', { cpu: 65_536 }, 'No available runners'],
  ])('is refused with %s', async (_what, body, message) => {
    const { id } = await world.create()
    expect(messageOf(await post(`/sandbox/${id}/resize`, body))).toEqual([400, expect.stringContaining(message)])
    expect(await world.get(id)).toMatchObject({ state: 'started', cpu: 1 })
  })

  it('is refused for less while it runs, for a GPU, and for what is archived', async () => {
    const { id } = await world.create()
    await post(`/sandbox/${id}/resize`, { cpu: 2 })
    await world.untilState(id, 'started')
    expect((await post(`/sandbox/${id}/resize`, { cpu: 1 })).status).toBe(400)
    expect((await post(`/workspace/${id}/resize`, { cpu: 3, gpu: 1 })).status).toBe(403)
    expect(messageOf(await post(`/sandbox/${await archived('x')}/resize`, { cpu: 2 }))).toEqual([
      ...[400, 'Sandbox is not in valid state'],
    ])
  })

  it('counts against the quotas from the moment it is asked for', async () => {
    const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, cpuQuota: 4 } })
    const call = (path: string, body: object) => world.call('POST', path, { as, body })
    const ids = [await call('/sandbox', {}), await call('/sandbox', {})].map(({ body }) => (body as Sandbox).id)
    const answers = await Promise.all(ids.map((id) => call(`/sandbox/${id}/resize`, { cpu: 3 })))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 403])
  })

  it('and a stop at once: the second of the two is refused', async () => {
    const { id } = await world.create()
    const holds = [world.runner.hold('resize'), world.runner.hold('stop')]
    const answers = await Promise.all([post(`/sandbox/${id}/resize`, { cpu: 2 }), post(`/sandbox/${id}/stop`)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 400])
    for (const hold of holds) hold.release()
    await until('it is settled', async () => ['started', 'stopped'].includes((await world.get(id)).state ?? ''))
  })

  it('of what ends by itself meanwhile is done to what is stopped then', async () => {
    const { id } = await world.create()
    const hold = world.runner.hold('resize')
    await post(`/sandbox/${id}/resize`, { cpu: 2 })
    await hold.reached
    await world.runner.crash(id, 'exit 1')
    await until('it is known to have ended', async () => {
      const rows = await world.api.database.sql`select 1 from sandboxes where id = ${id} and state = 'stopped'`
      return rows.length > 0
    })
    hold.release()
    await world.untilState(id, 'stopped')
    expect(await world.get(id)).toMatchObject({ cpu: 2 })
  })

  it('that fails is an error which can be recovered from', async () => {
    const { id } = await world.create()
    world.runner.fail('resize', 400, 1)
    await post(`/sandbox/${id}/resize`, { cpu: 2 })
    await world.untilState(id, 'error')
    expect(await world.get(id)).toMatchObject({ recoverable: true, cpu: 1, errorReason: expect.any(String) })
    const recovered = await post(`/sandbox/${id}/recover`)
    expect([recovered.status, (recovered.body as Sandbox).state]).toEqual([200, 'starting'])
    await world.untilState(id, 'started')
    expect(await world.get(id)).not.toHaveProperty('errorReason')
  })
})

describe('recover', () => {
  it('may leave the sandbox stopped', async () => {
    const { id } = await stopped()
    world.runner.fail('start', 400, 1)
    expect((await post(`/sandbox/${id}/start`)).status).toBe(400)
    expect(await world.get(id)).toMatchObject({ state: 'error', recoverable: true })
    const answer = await post(`/sandbox/${id}/recover?skipStart=true`)
    expect([answer.status, (answer.body as Sandbox).state]).toEqual([200, 'stopped'])
    expect(await world.get(id)).toMatchObject({ state: 'stopped', recoverable: false })
  })

  it('is refused for what is no error, and for one that left nothing', async () => {
    const { id } = await world.create()
    const message = 'Sandbox is not in a recoverable error state'
    expect(messageOf(await post(`/sandbox/${id}/recover`))).toEqual([400, message])
    world.runner.fail('make', 400, 1)
    const { body } = await world.call('POST', '/workspace', { body: {} })
    expect(body).toMatchObject({ state: 'error', recoverable: false })
    expect(messageOf(await post(`/sandbox/${(body as Sandbox).id}/recover`))).toEqual([400, message])
  })
})

describe('network settings', () => {
  it('are in force when they are answered, and shown', async () => {
    const { id } = await world.create()
    const answer = await post(`/sandbox/${id}/network-settings`, { networkAllowList: '10.0.0.0/8, 1.2.3.4' })
    expect([answer.status, Value.Check(SandboxSchema, answer.body)]).toEqual([200, true])
    expect(answer.body).toMatchObject({ state: 'started', networkAllowList: '10.0.0.0/8,1.2.3.4' })
    const rules = () => world.runner.get(id).spec?.networkRules
    expect(rules()).toEqual({ blockAll: false, allowList: ['10.0.0.0/8', '1.2.3.4'] })
    await post(`/sandbox/${id}/network-settings`, { networkBlockAll: true })
    expect(rules()).toEqual({ blockAll: true, allowList: ['10.0.0.0/8', '1.2.3.4'] })
    const restored = await post(`/sandbox/${id}/network-settings`, { networkBlockAll: false })
    expect(rules()).toEqual({ blockAll: false })
    expect(restored.body).toMatchObject({ networkBlockAll: false, state: 'started' })
    expect(restored.body).not.toHaveProperty('networkAllowList')
  })

  it('can be given at creation', async () => {
    const { id } = await world.create({ networkAllowList: '192.168.0.0/16', domainAllowList: '' })
    expect(await world.get(id)).toMatchObject({ networkBlockAll: false, networkAllowList: '192.168.0.0/16' })
    expect(world.runner.get(id).spec?.networkRules).toEqual({ blockAll: false, allowList: ['192.168.0.0/16'] })
  })

  it('of a stopped sandbox hold when it starts', async () => {
    const { id } = await stopped()
    expect((await post(`/sandbox/${id}/network-settings`, { networkBlockAll: true })).body).toMatchObject({
      ...{ state: 'stopped', networkBlockAll: true },
    })
    expect(world.runner.get(id).spec?.networkRules).toEqual({ blockAll: true })
  })

  it('that could not be changed are in force once the sandbox is recovered', async () => {
    const { id } = await world.create()
    world.runner.fail('network', 500, 3)
    await post(`/sandbox/${id}/network-settings`, { networkBlockAll: true })
    await world.untilState(id, 'error')
    expect(await world.get(id)).toMatchObject({ networkBlockAll: true })
    expect((await post(`/sandbox/${id}/recover`)).status).toBe(200)
    await world.untilState(id, 'started')
    expect(world.runner.get(id).spec?.networkRules).toEqual({ blockAll: true })
  })

  it.each([
    ['nothing', {}, 'Give one of'],
    ['no address', { networkAllowList: 'example.com' }, '"example.com" is no block'],
    ['too long a prefix', { networkAllowList: '10.0.0.0/33' }, 'is no block'],
    ['IPv6', { networkAllowList: '::1/128' }, 'is no block'],
    ['an empty block', { networkAllowList: '10.0.0.0/8,' }, 'is no block'],
    ['eleven blocks', { networkAllowList: Array(11).fill('10.0.0.0/8').join(',') }, 'at most 10'],
    ['domains', { domainAllowList: 'example.com' }, 'domainAllowList is not supported'],
    ['no boolean', { networkBlockAll: 'maybe' }, 'body.networkBlockAll'],
  ])('are refused with %s', async (_what, body, message) => {
    const { id } = await world.create()
    expect(messageOf(await post(`/sandbox/${id}/network-settings`, body))).toEqual([
      ...[400, expect.stringContaining(message)],
    ])
  })
})

it('whatever bodies are sent, the API answers with a result or names what is wrong', async () => {
  const { id } = await world.create()
  const { id: still } = await stopped()
  const value = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.integer({ min: 1, max: 9 }), fc.boolean())
  const fields = ['cpu', 'memory', 'disk', 'gpu', 'networkBlockAll', 'networkAllowList', 'domainAllowList']
  const body = fc.dictionary(fc.constantFrom(...fields), value, { maxKeys: 4 })
  const path = fc.constantFrom(
    ...[id, still].flatMap((sandbox) => [`/sandbox/${sandbox}/resize`, `/sandbox/${sandbox}/network-settings`]),
    `/workspace/${id}/resize`,
  )
  await fc.assert(
    fc.asyncProperty(path, body, async (where, sent) => {
      const { status, body: answer } = await post(where, sent)
      expect([200, 201, 400, 403], JSON.stringify([where, sent, answer])).toContain(status)
    }),
    { numRuns: 200 },
  )
})
