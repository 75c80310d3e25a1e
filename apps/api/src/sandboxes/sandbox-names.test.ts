import type { ErrorBody, PortPreviewUrl, Sandbox } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { connect as connectDatabase } from '../database/database.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { describeCall } from '../testing/scripted-toolbox.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
  world.runner.script = describeCall
})
afterAll(() => world[Symbol.asyncDispose]())

const pathOf = (name: string) => `/sandbox/${encodeURIComponent(name)}`

describe('a name', () => {
  it('is the id when none is given', async () => {
    const { id, name } = await world.create({ name: '' })
    expect(name).toBe(id)
  })

  it('stands for the id in every path', async () => {
    const name = 'My sandbox, ü ?#%2F'
    const { id } = await world.create({ name })
    expect(await world.get(id)).toMatchObject({ id, name })
    expect((await world.call('GET', pathOf(name))).body).toMatchObject({ id, name })
    const labels = { a: 'b' }
    expect((await world.call('PUT', `${pathOf(name)}/labels`, { body: { labels } })).body).toEqual({ labels })
    expect((await world.call('GET', `${pathOf(name)}/toolbox-proxy-url`)).status).toBe(200)
    const preview = (await world.call('GET', `${pathOf(name)}/ports/3000/preview-url`)).body as PortPreviewUrl
    expect(preview.url).toContain(`3000-${id}.`)
    expect((await world.call('POST', `${pathOf(name)}/last-activity`)).status).toBe(201)
    expect((await world.call('GET', `/workspace/${encodeURIComponent(name)}`)).body).toMatchObject({ id, name })
    for (const path of ['/toolbox-proxy/NAME/x', '/toolbox/NAME/toolbox/x']) {
      const { body } = await world.call('GET', path.replace('NAME', encodeURIComponent(name)))
      expect(body).toMatchObject({ sandboxId: id, path: '/x' })
    }
    expect((await world.call('POST', `${pathOf(name)}/stop`)).status).toBe(200)
    await world.untilState(id, 'stopped')
    expect((await world.call('POST', `${pathOf(name)}/start`)).body).toMatchObject({ id, state: 'started' })
    expect((await world.call('DELETE', pathOf(name))).body).toMatchObject({ id, state: 'destroying' })
  })

  it('is taken until its sandbox is destroyed, also when two ask at once', async () => {
    const body = { name: 'wanted' }
    const answers = await Promise.all([1, 2, 3].map(() => world.call('POST', '/sandbox', { body })))
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409, 409])
    const refused = answers.find(({ status }) => status === 409)?.body as ErrorBody
    expect(refused).toMatchObject({ code: 'SANDBOX_NAME_TAKEN', message: 'Sandbox with name wanted already exists' })

    const first = answers.find(({ status }) => status === 200)?.body as Sandbox
    expect((await world.call('GET', '/toolbox-proxy/wanted/x')).body).toMatchObject({ sandboxId: first.id })
    await world.call('DELETE', pathOf('wanted'))
    await world.untilState(first.id, 'destroyed')
    expect((await world.call('GET', pathOf('wanted'))).status).toBe(404)
    expect((await world.call('GET', '/toolbox-proxy/wanted/x')).status).toBe(404)

    const second = await world.create(body)
    expect((await world.call('GET', '/toolbox-proxy/wanted/x')).body).toMatchObject({ sandboxId: second.id })
    expect(await world.get(first.id)).toMatchObject({ name: 'wanted', state: 'destroyed' })
  })

  it('is another sandbox in another organization', async () => {
    const name = 'ours alone'
    const { id } = await world.create({ name })
    const stranger = await world.createPrincipal()
    const toolbox = `/toolbox-proxy/${encodeURIComponent(name)}/x`
    expect((await world.call('GET', toolbox)).status).toBe(200)
    expect((await world.call('GET', pathOf(name), { as: stranger })).status).toBe(404)
    expect((await world.call('GET', toolbox, { as: stranger })).status).toBe(404)
    const theirs = await world.call('POST', '/sandbox', { body: { name }, as: stranger })
    expect((theirs.body as Sandbox).id).not.toBe(id)
    expect((await world.call('GET', toolbox, { as: stranger })).body).not.toMatchObject({ sandboxId: id })
    expect((await world.call('GET', toolbox)).body).toMatchObject({ sandboxId: id })
  })

  it.each([
    ['a slash', 'a/b'],
    ['a line break', 'a\nb'],
    ['a NUL', 'a\0b'],
    ['half a surrogate', '\ud800'],
    ['the form of an id', '9c5e0f0e-0000-4000-8000-000000000000'],
    ['two dots', '..'],
    ["the word of a list's path", 'paginated'],
    ['256 characters', 'x'.repeat(256)],
  ])('is refused with %s', async (_what, name) => {
    const answer = await world.call('POST', '/sandbox', { body: { name } })
    expect([answer.status, (answer.body as ErrorBody).message]).toEqual([400, expect.stringContaining('name')])
  })

  it('leads to the toolbox without the database, once it was used', async () => {
    const { id } = await world.create({ name: 'warm' })
    expect((await world.call('GET', '/toolbox-proxy/warm/x')).status).toBe(200)
    const other = connectDatabase(world.api.database.address, { max: 1 })
    await other.begin(async (tx) => {
      await tx`lock table sandboxes, api_keys, organizations, users in access exclusive mode`
      expect((await world.call('GET', '/toolbox-proxy/warm/x')).body).toMatchObject({ sandboxId: id })
    })
    await other.end()
  })
})

describe('what depends on how a client came here', () => {
  it('is where the toolboxes are, in every shape of a sandbox', async () => {
    const url = `${world.url}/api/toolbox-proxy`
    const { id, toolboxProxyUrl } = await world.create()
    expect(toolboxProxyUrl).toBe(url)
    expect((await world.call('GET', `/sandbox/${id}/toolbox-proxy-url`)).body).toEqual({ url })
    const [listed] = (await world.call('GET', '/sandbox')).body as Sandbox[]
    expect(listed?.toolboxProxyUrl).toBe(url)
    expect((await world.call('GET', `/workspace/${id}`)).body).toMatchObject({ toolboxProxyUrl: url })
  })

  it('is where previews will be', async () => {
    const { id } = await world.create()
    const { port } = new URL(world.url)
    expect((await world.call('GET', `/sandbox/${id}/ports/8080/preview-url`)).body).toEqual({
      sandboxId: id,
      url: `http://8080-${id}.localhost:${port}`,
      token: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
  })

  it.each(['0', '65536', '-1', 'http'])('is no port %s', async (port) => {
    const { id } = await world.create()
    expect((await world.call('GET', `/sandbox/${id}/ports/${port}/preview-url`)).status).toBe(400)
  })
})

it('what is called activity counts as such', async () => {
  const { id, lastActivityAt = '' } = await world.create()
  const answer = await world.call('POST', `/sandbox/${id}/last-activity`, { body: { activityType: 'toolbox' } })
  expect([answer.status, answer.body]).toEqual([201, ''])
  expect(Date.parse((await world.get(id)).lastActivityAt ?? '')).toBeGreaterThan(Date.parse(lastActivityAt))
  expect((await world.call('POST', '/sandbox/unknown/last-activity')).status).toBe(404)
})
