import { randomBytes } from 'node:crypto'
import type { DockerRegistry, ErrorBody } from '@atoll/protocol'
import {
  CreateDockerRegistry,
  DockerRegistry as DockerRegistrySchema,
  ErrorBody as ErrorBodySchema,
  RegistryPushAccess,
} from '@atoll/protocol'
import * as fc from 'fast-check'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createSealer } from '../secrets/sealer.ts'
import { parseSealingKeys } from '../secrets/sealing-key.ts'
import { createLogLines } from '../testing/log-lines.ts'
import type { ScriptedHarbor } from '../testing/scripted-harbor.ts'
import { startScriptedHarbor } from '../testing/scripted-harbor.ts'
import type { TestApi, TestPrincipal } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'
import { createDockerRegistryService } from './docker-registry-service.ts'
import { createDockerRegistryStore } from './docker-registry-store.ts'
import { createHarborRobots } from './harbor-robots.ts'

interface Answer {
  status: number
  /** The parsed body; undefined when empty. */
  body: unknown
}

const PASSWORD = 'correct horse battery staple'
const registry = { name: 'mine', url: 'registry.example.org', username: 'ada', password: PASSWORD, project: 'p' }
const UNKNOWN_ID = '9c5e0f0e-0000-4000-8000-000000000000'

let api: TestApi
const logged = createLogLines()
let ada: TestPrincipal
let admin: TestPrincipal

beforeAll(async () => {
  api = await createTestApi({ log: logged.log })
})
afterAll(() => api[Symbol.asyncDispose]())
beforeEach(async () => {
  await api.database.sql`delete from docker_registries`
  ada = await api.createPrincipal()
  admin = await api.createPrincipal({ systemRole: 'admin' })
})

async function call(as: TestPrincipal, what: string, body?: unknown): Promise<Answer> {
  const [method = '', path = ''] = what.split(' ')
  const answer = await api.app.inject({
    method: method as 'GET',
    url: `/api/docker-registry${path}`,
    headers: { ...as.headers, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { payload: JSON.stringify(body) }),
  })
  return { status: answer.statusCode, body: answer.body === '' ? undefined : answer.json() }
}

async function add(as: TestPrincipal, body: object = {}): Promise<DockerRegistry> {
  const answer = await call(as, 'POST ', { ...registry, ...body })
  expect(answer.status).toBe(201)
  return answer.body as DockerRegistry
}

async function idsOf(as: TestPrincipal): Promise<string[]> {
  const { body } = await call(as, 'GET ')
  expect(Value.Check(Type.Array(DockerRegistrySchema), body)).toBe(true)
  return (body as DockerRegistry[]).map(({ id }) => id)
}

async function isDefault(id: string): Promise<boolean> {
  const [row] = await api.database.sql`select is_default from docker_registries where id = ${id}`
  return row?.['is_default'] === true
}

function messageOf({ body }: Answer): string {
  return (body as ErrorBody).message
}

describe('the life of a registry', () => {
  it('is added, found, changed, made the default and removed', async () => {
    const added = await call(ada, 'POST ', { ...registry, registryType: 'organization', isDefault: false, extra: 1 })
    expect(added.status).toBe(201)
    expect(Value.Check(DockerRegistrySchema, added.body)).toBe(true)
    const { password: _, ...shown } = registry
    expect(added.body).toMatchObject({ ...shown, registryType: 'organization' })
    const { id } = added.body as DockerRegistry
    expect(await call(ada, `GET /${id}`)).toEqual({ status: 200, body: added.body })
    expect(await idsOf(ada)).toEqual([id])

    const changed = await call(ada, `PATCH /${id}`, { name: 'renamed', username: 'grace' })
    expect(changed.status).toBe(200)
    expect(changed.body).toMatchObject({ name: 'renamed', username: 'grace', url: registry.url, project: 'p' })

    const chosen = await call(ada, `POST /${id}/set-default`)
    expect([chosen.status, await isDefault(id)]).toEqual([200, true])
    expect(Value.Check(DockerRegistrySchema, chosen.body)).toBe(true)

    expect(await call(ada, `DELETE /${id}`)).toEqual({ status: 204, body: undefined })
    expect((await call(ada, `GET /${id}`)).status).toBe(404)
    expect((await call(ada, `DELETE /${id}`)).status).toBe(404)
  })

  it('is listed newest first', async () => {
    const ids = [await add(ada), await add(ada), await add(ada)].map(({ id }) => id)
    expect(await idsOf(ada)).toEqual(ids.reverse())
  })

  it('needs neither type nor project, as newer clients send none', async () => {
    const { project: _, ...body } = registry
    const { status, body: added } = await call(ada, 'POST ', body)
    expect([status, added]).toMatchObject([201, { registryType: 'organization', project: '' }])
  })

  it('gives way as the default to the next', async () => {
    const first = await add(ada, { isDefault: true })
    const elsewhere = await add(await api.createPrincipal(), { isDefault: true })
    const second = await add(ada, { isDefault: true })
    expect(await Promise.all([first, second, elsewhere].map(({ id }) => isDefault(id)))).toEqual([false, true, true])
    await Promise.all([first, second, first, second].map(({ id }) => call(ada, `POST /${id}/set-default`)))
    const defaults = await Promise.all([first, second].map(({ id }) => isDefault(id)))
    expect(defaults.filter(Boolean)).toHaveLength(1)
  })

  it('is refused above a hundred, also when many come at once', async () => {
    const { sql } = api.database
    await sql`insert into docker_registries
      select gen_random_uuid(), ${ada.organizationId}, 'x', 'x', 'x', 'x', 'x', 'organization', false
      from generate_series(1, 95)`
    const answers = await Promise.all(Array.from({ length: 20 }, () => call(ada, 'POST ', registry)))
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(5)
    const refused = answers.filter(({ status }) => status !== 201)
    for (const answer of refused)
      expect([answer.status, messageOf(answer)]).toEqual([403, expect.stringMatching(/100/)])
    expect((await call(await api.createPrincipal(), 'POST ', registry)).status).toBe(201)
  })
})

describe('a password', () => {
  it('is stored sealed, never answered and never logged', async () => {
    const { id } = await add(ada)
    const answers = [
      await call(ada, `GET /${id}`),
      await call(ada, 'GET '),
      await call(ada, `PATCH /${id}`, { name: 'x', username: 'y', password: `${PASSWORD}2` }),
      await call(ada, 'POST ', { ...registry, name: 5 }),
    ]
    const [row] = await api.database.sql`select * from docker_registries where id = ${id}`
    expect(JSON.stringify([answers, row])).not.toContain(PASSWORD)
    expect(logged.lines.length).toBeGreaterThan(0)
    expect(logged.text()).not.toContain(PASSWORD)
  })

  it('stays when it is not given, or empty', async () => {
    const { id } = await add(ada)
    const sealed = async () =>
      (await api.database.sql`select sealed_password from docker_registries where id = ${id}`)[0]
    const before = await sealed()
    for (const password of [undefined, '']) {
      expect((await call(ada, `PATCH /${id}`, { name: 'x', username: 'y', password })).status).toBe(200)
    }
    expect(await sealed()).toEqual(before)
  })

  it('is sealed anew with the new key when keys are rotated', async () => {
    const [old, next] = [randomBytes(32).toString('hex'), randomBytes(32).toString('hex')]
    const store = createDockerRegistryStore(api.database)
    const serviceWith = (...keys: string[]) => {
      const sealer = createSealer(parseSealingKeys(keys.join(',')))
      return createDockerRegistryService({ store, sealer, robots: createHarborRobots({ now: Date.now }) })
    }
    await using harbor = await startScriptedHarbor()
    const caller = {
      ...admin,
      kind: 'apiKey',
      systemRole: 'admin',
      role: 'owner',
      permissions: new Set<never>(),
    } as const
    await serviceWith(old).create(caller, { ...registry, registryType: 'transient', url: harbor.url })
    await expect(serviceWith(next).pushAccess()).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' })
    await expect(serviceWith(next).sealAnew()).rejects.toMatchObject({ code: 'SECRET_UNREADABLE' })
    expect(await serviceWith(next, old).sealAnew()).toBe(1)
    expect(await serviceWith(next, old).sealAnew()).toBe(0)
    await serviceWith(next).pushAccess()
    expect(harbor.calls[0]?.authorization).toBe(`Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`)
  })

  it('does not follow to another host', async () => {
    const { id } = await add(ada)
    const change = { name: 'x', username: 'y', url: 'elsewhere.example.org' }
    const refused = await call(ada, `PATCH /${id}`, change)
    expect([refused.status, messageOf(refused)]).toEqual([400, 'body.password must be given when the url changes'])
    expect((await call(ada, `PATCH /${id}`, { ...change, url: registry.url })).status).toBe(200)
    const moved = await call(ada, `PATCH /${id}`, { ...change, password: 'new' })
    expect([moved.status, moved.body]).toMatchObject([200, { url: change.url }])
  })
})

describe('who may', () => {
  const commands = ['GET /{id}', 'PATCH /{id}', 'DELETE /{id}', 'POST /{id}/set-default']
  const body = { name: 'x', username: 'y' }

  it('finds registries of others, and of the system, as unknown as those that do not exist', async () => {
    const mine = await add(ada)
    const system = await add(admin, { registryType: 'internal' })
    const stranger = await api.createPrincipal()
    for (const command of commands) {
      for (const id of [mine.id, system.id, UNKNOWN_ID, 'no-uuid', '%00']) {
        const answer = await call(stranger, command.replace('{id}', id), command.startsWith('PATCH') ? body : undefined)
        const shown = decodeURIComponent(id)
        expect([answer.status, messageOf(answer)]).toEqual([404, `Docker registry with ID ${shown} not found`])
      }
    }
    expect(await idsOf(stranger)).toEqual([])
    expect(await idsOf(ada)).toEqual([mine.id])
  })

  it('lets administrators have the system`s own, one default of each type', async () => {
    const own = await add(admin)
    const internal = await add(admin, { registryType: 'internal', isDefault: true })
    const transient = await add(admin, { registryType: 'transient', isDefault: true })
    const secondAdmin = await api.createPrincipal({ systemRole: 'admin' })
    expect(await idsOf(secondAdmin)).toEqual([transient.id, internal.id])
    expect(await idsOf(admin)).toEqual([transient.id, internal.id, own.id])
    const other = await add(secondAdmin, { registryType: 'transient', isDefault: true })
    const defaults = await Promise.all([internal, transient, other].map(({ id }) => isDefault(id)))
    expect(defaults).toEqual([true, false, true])
    expect((await call(secondAdmin, `DELETE /${internal.id}`)).status).toBe(204)
  })

  it.each(['internal', 'public', 'transient'])('lets only administrators make one of type %s', async (registryType) => {
    const answer = await call(ada, 'POST ', { ...registry, registryType })
    expect([answer.status, messageOf(answer)]).toEqual([403, expect.stringContaining(registryType)])
  })

  it('needs the permission of each command, and only membership to read', async () => {
    const { id } = await add(ada)
    const reader = await api.createPrincipal({ permissions: [] })
    await api.database.sql`update docker_registries set organization_id = ${reader.organizationId} where id = ${id}`
    const status = async (command: string) =>
      (await call(reader, command, /^P/.test(command) ? registry : undefined)).status
    expect(await Promise.all(['GET ', `GET /${id}`].map(status))).toEqual([200, 200])
    const refused = ['POST ', `PATCH /${id}`, `POST /${id}/set-default`, `DELETE /${id}`, 'GET /registry-push-access']
    expect(await Promise.all(refused.map(status))).toEqual([403, 403, 403, 403, 403])
  })
})

describe('push access', () => {
  let harbor: ScriptedHarbor

  beforeEach(async () => {
    harbor = await startScriptedHarbor()
  })
  afterEach(() => harbor[Symbol.asyncDispose]())

  it('is 409 and says why when there is no transient registry, or one that cannot give it', async () => {
    const without = await call(ada, 'GET /registry-push-access')
    expect([without.status, messageOf(without)]).toEqual([
      409,
      expect.stringContaining('no registry of type transient'),
    ])
    await add(admin, { registryType: 'transient', url: harbor.url, project: '' })
    const projectless = await call(ada, 'GET /registry-push-access')
    expect([projectless.status, messageOf(projectless)]).toEqual([409, expect.stringContaining('has no project')])
    await add(admin, { registryType: 'transient', url: harbor.url })
    harbor.status = 404
    const plain = await call(ada, 'GET /registry-push-access')
    expect([plain.status, messageOf(plain)]).toEqual([409, expect.stringContaining('is no Harbor')])
  })

  it('is a robot account of the project, for an hour', async () => {
    const { id } = await add(admin, { registryType: 'transient', url: harbor.url, project: 'images' })
    const answer = await call(ada, 'GET /registry-push-access')
    expect(answer.status).toBe(200)
    expect(Value.Check(RegistryPushAccess, answer.body)).toBe(true)
    const { expiresAt, ...access } = answer.body as RegistryPushAccess
    const username = expect.stringMatching(/^robot\$images\+atoll-\d+-[0-9a-f]{12}$/)
    expect(access).toEqual({ username, secret: 'secret-1', registryUrl: harbor.url, registryId: id, project: 'images' })
    const lastsMs = Date.parse(expiresAt) - Date.now()
    expect(lastsMs).toBeGreaterThan(59 * 60_000)
    expect(lastsMs).toBeLessThanOrEqual(60 * 60_000)
    const [made] = harbor.calls
    expect(made?.authorization).toBe(`Basic ${Buffer.from(`ada:${PASSWORD}`).toString('base64')}`)
    expect(made?.body).toMatchObject({ level: 'project', permissions: [{ kind: 'project', namespace: 'images' }] })
  })

  it.each([500, 401])('is 502 when the registry answers %i, without the password', async (status) => {
    await add(admin, { registryType: 'transient', url: harbor.url })
    harbor.status = status
    const answer = await call(ada, 'GET /registry-push-access')
    expect([answer.status, messageOf(answer)]).toEqual([502, `The transient registry mine answered ${status}`])
  })

  it('ends after its hour, and what others made stays', async () => {
    let now = Date.now()
    const robots = createHarborRobots({ now: () => now })
    const target = { name: 'mine', url: harbor.url, username: 'ada', project: 'images' }
    const { signal } = new AbortController()
    harbor.robots.set(100, 'robot$images+theirs')
    await robots.issue(target, PASSWORD)
    now += 30 * 60_000
    const second = await robots.issue(target, PASSWORD)
    await robots.removeExpired(target, PASSWORD, signal)
    expect(harbor.robots.size).toBe(3)
    now += 31 * 60_000
    await robots.removeExpired(target, PASSWORD, signal)
    expect([...harbor.robots.values()]).toEqual(['robot$images+theirs', second.username])
  })
})

describe('bad input', () => {
  const anyValue = fc.oneof(
    fc.jsonValue(),
    fc.string({ unit: 'binary' }),
    fc.constantFrom('', 'organization', 'registry.example.org', '__proto__', null, true, 'https://user:pass@host'),
  )
  const fields = Object.keys(CreateDockerRegistry.properties)
  const bodies = fc.oneof(
    fc.record(Object.fromEntries(fields.map((field) => [field, anyValue])), { requiredKeys: [] }),
    fc.tuple(fc.constantFrom(...fields), anyValue).map(([field, value]) => ({ ...registry, [field]: value })),
    fc.jsonValue(),
  )

  function expectOrderly({ status, body }: Answer): void {
    expect(status).toBeLessThan(500)
    if (status >= 400) expect(Value.Check(ErrorBodySchema, body)).toBe(true)
  }

  it('of any shape is answered below 500 when adding and when changing', async () => {
    const { id } = await add(ada)
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => {
        expectOrderly(await call(ada, 'POST ', body))
        expectOrderly(await call(ada, `PATCH /${id}`, body))
      }),
      { numRuns: 150 },
    )
  })

  it.each([
    ['no name', { name: undefined }, 'name'],
    ['an empty name', { name: '' }, 'body.name'],
    ['a name that is no text', { name: 5 }, 'body.name must be string'],
    ['a NUL', { name: 'x\0' }, 'NUL'],
    ['half a surrogate in the password', { password: '\ud800' }, 'body.password'],
    ['credentials in the url', { url: 'https://user:pass@registry.example.org' }, 'body.url'],
    ['a url that is none', { url: 'not a url' }, 'body.url'],
    ['an unknown type', { registryType: 'secret' }, 'body.registryType'],
    ['a long name', { name: 'x'.repeat(256) }, 'body.name'],
    ['a long password', { password: 'x'.repeat(16_385) }, 'body.password'],
  ])('%s is 400 and names the field', async (_what, change, message) => {
    const answer = await call(ada, 'POST ', { ...registry, ...change })
    expect([answer.status, messageOf(answer)]).toEqual([400, expect.stringContaining(message)])
  })
})
