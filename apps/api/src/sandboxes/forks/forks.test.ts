import type { ErrorBody, Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { UNLIMITED_QUOTAS } from '../../organizations/quota-limits.ts'
import type { Answer, SandboxWorld } from '../../testing/sandbox-world.ts'
import { createSandboxWorld } from '../../testing/sandbox-world.ts'
import type { TestPrincipal } from '../../testing/test-api.ts'
import { until } from '../../testing/until.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

const fork = (id: string, body?: object, as?: TestPrincipal) =>
  world.call('POST', `/sandbox/${id}/fork`, {
    ...(body === undefined ? {} : { body }),
    ...(as === undefined ? {} : { as }),
  })
const relatives = async (id: string, which: string) => (await world.call('GET', `/sandbox/${id}/${which}`)).body
const idsOf = (body: unknown) => (body as Sandbox[]).map(({ id }) => id)
const refusal = ({ status, body }: Answer) => [status, (body as ErrorBody).message]

async function forked(id: string, body?: object): Promise<Sandbox> {
  const answer = await fork(id, body)
  expect(answer).toMatchObject({ status: 200 })
  return answer.body as Sandbox
}

async function stopped(): Promise<string> {
  const { id } = await world.create()
  await world.call('POST', `/sandbox/${id}/stop`)
  await world.untilState(id, 'stopped')
  return id
}

test('a fork has the files and the settings of its parent, and an identity of its own', async () => {
  const volume = await world.call('POST', '/volumes', { body: { name: 'shared' } })
  const { id: volumeId } = volume.body as { id: string }
  const asked = {
    ...{ name: 'parent', env: { A: 'b' }, labels: { team: 'x' }, public: true, user: 'root' },
    ...{ autoStopInterval: 7, autoArchiveInterval: 8, autoDeleteInterval: 9, ttlMinutes: 60 },
    ...{ networkAllowList: '10.0.0.0/8', volumes: [{ volumeId, mountPath: '/srv/x' }] },
  }
  await until('the volume is ready', async () => {
    const { body } = await world.call('GET', `/volumes/${volumeId}`)
    return (body as { state: string }).state === 'ready'
  })
  const parent = await world.create(asked)
  world.runner.get(parent.id).files = Buffer.from('what it wrote')
  const child = await forked('parent', { name: 'child' })
  const own = ['id', 'name', 'createdAt', 'updatedAt', 'lastActivityAt']
  const common = ({ ...sandbox }: Record<string, unknown>) =>
    Object.fromEntries(Object.entries(sandbox).filter(([key]) => !own.includes(key)))
  expect(common({ ...child })).toEqual(common({ ...(await world.get(parent.id)) }))
  expect(child).toMatchObject({ name: 'child', state: 'started', runnerId: parent.runnerId })
  expect(world.runner.get(child.id)).toMatchObject({ env: { A: 'b' }, state: 'running' })
  expect(world.runner.get(child.id).files.toString()).toBe('what it wrote')
  expect(world.runner.get(child.id).spec).toEqual({ ...world.runner.get(parent.id).spec, forkOf: parent.id })
  const key = async (id: string) => (await world.call('GET', `/sandbox/${id}/signing-key`)).body
  expect(await key(child.id)).not.toEqual(await key(parent.id))
  const { sql } = world.api.database
  const [events] =
    await sql`select array_agg(event order by id) as names from sandbox_events where sandbox_id = ${child.id}`
  expect(events?.['names']).toEqual(['fork', 'made', 'ready'])
  const mounts = await sql`select 1 from sandbox_volumes where sandbox_id = ${child.id} and volume_id = ${volumeId}`
  expect(mounts).toHaveLength(1)
})

test('who is a fork of whom can be asked, while they are readable', async () => {
  const { id: first } = await world.create()
  const second = (await forked(first)).id
  const third = (await forked(second)).id
  const sister = (await forked(first)).id
  expect(idsOf(await relatives(first, 'forks'))).toEqual([sister, second])
  expect(idsOf(await relatives(third, 'forks'))).toEqual([])
  expect(await relatives(third, 'parent')).toMatchObject({ id: second, toolboxProxyUrl: expect.any(String) })
  expect(idsOf(await relatives(third, 'ancestors'))).toEqual([second, first])
  expect(idsOf(await relatives(first, 'ancestors'))).toEqual([])
  expect(refusal(await world.call('GET', `/sandbox/${first}/parent`))).toEqual([
    404,
    `Sandbox ${first} is not a fork of another`,
  ])
  await world.call('DELETE', `/sandbox/${second}`)
  await world.untilState(second, 'destroyed')
  expect(idsOf(await relatives(first, 'forks'))).toEqual([sister])
  expect(idsOf(await relatives(first, 'forks?includeDestroyed=true'))).toEqual([sister, second])
  expect(idsOf(await relatives(third, 'ancestors'))).toEqual([second, first])
  const { sql } = world.api.database
  await sql`update sandboxes set changed_at = changed_at - interval '2 days' where id = ${second}`
  expect(idsOf(await relatives(first, 'forks?includeDestroyed=true'))).toEqual([sister])
  expect(idsOf(await relatives(third, 'ancestors'))).toEqual([first])
  expect((await world.call('GET', `/sandbox/${third}/parent`)).status).toBe(404)
})

test('a stopped sandbox is forked, and stays stopped', async () => {
  const id = await stopped()
  world.runner.get(id).files = Buffer.from('kept')
  const child = await forked(id)
  expect(world.runner.get(child.id).files.toString()).toBe('kept')
  expect(await world.get(id)).toMatchObject({ state: 'stopped' })
})

test('is refused of what is unknown, of another organization, and of what has no files at rest', async () => {
  const stranger = await world.createPrincipal()
  const { id } = await world.create()
  const notFound = [404, `Sandbox with ID ${id} not found`]
  expect(refusal(await fork(id, {}, stranger))).toEqual(notFound)
  for (const which of ['forks', 'parent', 'ancestors'])
    expect(refusal(await world.call('GET', `/sandbox/${id}/${which}`, { as: stranger }))).toEqual(notFound)
  const hold = world.runner.hold('stop')
  await world.call('POST', `/sandbox/${id}/stop`)
  expect(refusal(await fork(id))).toEqual([400, 'Sandbox state change in progress'])
  hold.release()
  await world.untilState(id, 'stopped')
  await world.call('POST', `/sandbox/${id}/archive`)
  await world.untilState(id, 'archived')
  expect(refusal(await fork(id))).toEqual([400, 'Sandbox is not in valid state'])
  await world.call('DELETE', `/sandbox/${id}`)
  await world.untilState(id, 'destroyed')
  expect(refusal(await fork(id))).toEqual([400, 'Sandbox is not in valid state'])
})

test('is refused while a snapshot is made of it', async () => {
  const { id } = await world.create()
  const { sql } = world.api.database
  await sql`update sandboxes set snapshotting_id = gen_random_uuid() where id = ${id}`
  expect(refusal(await fork(id))).toEqual([400, 'Sandbox state change in progress'])
})

test('a name is checked, and is taken once', async () => {
  const { id } = await world.create({ name: 'taken' })
  expect(refusal(await fork(id, { name: 'taken' }))).toEqual([409, 'Sandbox with name taken already exists'])
  expect((await fork(id, { name: 'a/b' })).status).toBe(400)
  expect(idsOf(await relatives(id, 'forks'))).toEqual([])
})

test('of many forks at once as many succeed as there is room for, while their parent is stopped and started', async () => {
  const as = await world.createPrincipal({ quotas: { ...UNLIMITED_QUOTAS, memoryGibQuota: 5 } })
  const { body } = await world.call('POST', '/sandbox', { as, body: {} })
  const { id } = body as Sandbox
  const answers = await Promise.all(Array.from({ length: 20 }, () => fork(id, {}, as)))
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(4)
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 403]))
  // No two transactions wait for each other for ever.
  const mixed = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      index % 2 ? fork(id, {}, as) : world.call('POST', `/sandbox/${id}/${index % 4 ? 'start' : 'stop'}`, { as }),
    ),
  )
  expect(mixed.filter(({ status }) => status >= 500)).toEqual([])
})

test("needs its parent's own runner", async () => {
  const { id } = await world.create()
  const { sql } = world.api.database
  await sql`update runners set unschedulable = true`
  expect(refusal(await fork(id))).toEqual([400, 'No available runners'])
  await sql`update runners set unschedulable = false`
  expect((await fork(id)).status).toBe(200)
})

test('of what is gone from its runner is an error that says so, and can be deleted', async () => {
  const { id } = await world.create()
  world.runner.sandboxes.delete(id)
  const answer = await fork(id)
  expect(answer.status).toBe(400)
  const [child] = (await relatives(id, 'forks')) as Sandbox[]
  expect(child).toMatchObject({
    state: 'error',
    errorReason: `The sandbox could not be created: there is no sandbox ${id} on this runner`,
  })
  await world.call('DELETE', `/sandbox/${child?.id}`)
  await world.untilState(child?.id ?? '', 'destroyed')
})

test('an archived fork comes back with its own files', async () => {
  const { id } = await world.create()
  world.runner.get(id).files = Buffer.from('of the parent')
  const child = await forked(id)
  world.runner.get(child.id).files = Buffer.from('its own')
  await world.call('POST', `/sandbox/${child.id}/stop`)
  await world.untilState(child.id, 'stopped')
  await world.call('POST', `/sandbox/${child.id}/archive`)
  await world.untilState(child.id, 'archived')
  await world.call('DELETE', `/sandbox/${id}`)
  await world.untilState(id, 'destroyed')
  await world.call('POST', `/sandbox/${child.id}/start`)
  await world.untilState(child.id, 'started')
  expect(world.runner.get(child.id).files.toString()).toBe('its own')
  expect(world.runner.get(child.id).spec).not.toHaveProperty('forkOf')
})
