import type { ErrorBody, Workspace } from '@atoll/protocol'
import { Workspace as WorkspaceSchema } from '@atoll/protocol'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

async function create(body: object = {}): Promise<Workspace> {
  const answer = await world.call('POST', '/workspace', { body })
  expect(answer.status).toBe(200)
  return answer.body as Workspace
}

describe('a workspace', () => {
  it('is a sandbox with an image, and with a text that older clients parse', async () => {
    const workspace = await create({ labels: { a: 'b' }, target: 'us', unknownField: 1 })
    expect(Value.Check(WorkspaceSchema, workspace)).toBe(true)
    const { id } = workspace
    expect(workspace).toMatchObject({ name: id, image: 'host', snapshot: 'host', state: 'started', labels: { a: 'b' } })
    expect(workspace.info).toMatchObject({ name: id, created: workspace.createdAt })
    expect(JSON.parse(workspace.info?.providerMetadata ?? '')).toEqual({
      ...{ state: 'started', region: 'us', class: 'small', updatedAt: workspace.updatedAt },
      ...{ cpu: 1, gpu: 0, memory: 1, disk: 3, autoStopInterval: 15, autoArchiveInterval: 10_080 },
    })
    expect(await world.get(id)).toMatchObject({ id, state: 'started' })
  })

  it('stops, starts and goes asynchronously, with empty answers', async () => {
    const { id } = await create()
    for (const [action, state] of [
      ['stop', 'stopped'],
      ['start', 'started'],
    ] as const) {
      const hold = world.runner.hold(action)
      const answer = await world.call('POST', `/workspace/${id}/${action}`)
      expect([answer.status, answer.body]).toEqual([200, ''])
      hold.release()
      await world.untilState(id, state)
    }
    const labels = { now: 'other' }
    expect((await world.call('PUT', `/workspace/${id}/labels`, { body: { labels } })).body).toEqual({ labels })
    const deleted = await world.call('DELETE', `/workspace/${id}?force=true`)
    expect([deleted.status, deleted.body]).toEqual([200, ''])
    await world.untilState(id, 'destroyed')
  })

  it('has the resources that are asked for', async () => {
    const { id } = await create({ cpu: 2, memory: 3, disk: 5, gpu: 0 })
    expect(await world.get(id)).toMatchObject({ cpu: 2, memory: 3, disk: 5, gpu: 0 })
    expect(world.runner.get(id).spec).toMatchObject({ limits: { cpu: 2, memoryGiB: 3, diskGiB: 5 } })
  })

  it('is answered as it is when it did not start', async () => {
    world.runner.fail('make', 400, 1)
    const workspace = await create({ labels: { broken: 'yes' } })
    expect(workspace).toMatchObject({ state: 'error', errorReason: expect.stringContaining('planned failure') })
    const labels = encodeURIComponent('{"broken":"yes"}')
    expect((await world.call('GET', `/workspace?verbose=true&labels=${labels}`)).body).toMatchObject([workspace])
  })

  it('may be created from an absent body', async () => {
    expect((await world.call('POST', '/workspace')).status).toBe(200)
  })

  it.each([
    ['an unknown image', { image: 'nope:1' }, 'Snapshot nope:1 not found'],
    ['a GPU', { gpu: 1 }, 'No runner has a GPU'],
    ['no core', { cpu: 0 }, 'body.cpu'],
    ['a build and an image', { image: 'x', buildInfo: { dockerfileContent: 'FROM x' } }, 'Cannot specify both'],
    ['volumes', { volumes: [{ volumeId: 'v', mountPath: '/v' }] }, 'Volume v not found'],
    ['more than any runner has', { cpu: 65_536 }, 'No available runners'],
  ])('is refused with %s', async (_what, body, message) => {
    const answer = await world.call('POST', '/workspace', { body })
    expect([answer.status, (answer.body as ErrorBody).message]).toEqual([400, expect.stringContaining(message)])
  })

  it('belongs to its organization, and takes its permissions', async () => {
    const { id } = await create()
    const stranger = await world.createPrincipal()
    const reader = await world.createPrincipal({ permissions: [] })
    await world.api.database.sql`update sandboxes set organization_id = ${reader.organizationId} where id = ${id}`
    const calls = [
      ['GET', '', 200],
      ['DELETE', '', 403],
      ['POST', '/start', 403],
      ['POST', '/stop', 403],
      ['PUT', '/labels', 403],
    ] as const
    for (const [method, suffix, status] of calls) {
      const options = suffix === '/labels' ? { body: { labels: {} } } : {}
      expect((await world.call(method, `/workspace/${id}${suffix}`, { ...options, as: stranger })).status).toBe(404)
      expect((await world.call(method, `/workspace/${id}${suffix}`, { ...options, as: reader })).status).toBe(status)
    }
    expect((await world.call('POST', '/workspace', { body: {}, as: reader })).status).toBe(403)
    expect((await world.call('GET', '/workspace', { as: stranger })).body).toEqual([])
  })
})
