import type { ErrorBody, Sandbox } from '@atoll/protocol'
import { CreateSandbox, ErrorBody as ErrorBodySchema, Sandbox as SandboxSchema } from '@atoll/protocol'
import * as fc from 'fast-check'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Answer, SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

function messageOf(answer: Answer): string {
  return (answer.body as ErrorBody).message
}

/** A status below 500 and, when it is an error, the body of the contract. */
function expectOrderly(answer: Answer): void {
  expect(answer.status).toBeLessThan(500)
  if (answer.status >= 400) {
    expect(Value.Check(ErrorBodySchema, answer.body)).toBe(true)
    expect((answer.body as ErrorBody).statusCode).toBe(answer.status)
  }
}

describe('the life of a sandbox', () => {
  it('is created started, stopped, started again and deleted', async () => {
    const { call, runner } = world
    const body = { labels: { a: 'b' }, env: { X: '1' }, unknownField: 5, autoArchiveInterval: 0 }
    const created = await call('POST', '/sandbox', { body })
    expect(created.status).toBe(200)
    expect(Value.Check(SandboxSchema, created.body)).toBe(true)
    expect(created.body).toMatchObject({
      ...{ state: 'started', desiredState: 'started', snapshot: 'host', user: 'daytona', target: 'us' },
      ...{ labels: { a: 'b' }, env: { X: '1' }, public: false, class: 'small', networkBlockAll: false },
      ...{ cpu: 1, gpu: 0, memory: 1, disk: 3 },
      ...{ autoStopInterval: 15, autoArchiveInterval: 43_200, autoDeleteInterval: -1 },
    })
    expect(created.body).not.toHaveProperty('errorReason')
    const { id } = created.body as Sandbox
    expect(runner.get(id)).toMatchObject({
      ...{ state: 'running', env: { X: '1' } },
      spec: { snapshot: 'host', user: 'daytona', network: 'nat', limits: { cpu: 1, memoryGiB: 1, diskGiB: 3 } },
    })

    const stopped = await call('POST', `/sandbox/${id}/stop`)
    expect([stopped.status, stopped.body, stopped.headers.get('content-length')]).toEqual([200, '', '0'])
    await world.untilState(id, 'stopped')
    expect(runner.get(id).state).toBe('stopped')

    const started = await call('POST', `/sandbox/${id}/start`)
    expect([started.status, (started.body as Sandbox).state]).toEqual([200, 'started'])

    // The SDK sends DELETE, then GET of the deleted sandbox.
    const deleted = await call('DELETE', `/sandbox/${id}?force=true`)
    expect([deleted.status, (deleted.body as Sandbox).state]).toEqual([200, 'destroying'])
    await world.untilState(id, 'destroyed')
    expect(runner.sandboxes.has(id)).toBe(false)
    expect(await world.get(id)).toMatchObject({ state: 'destroyed', env: {} })
    expect((await call('GET', '/sandbox')).body).toEqual([])
    expect((await call('DELETE', `/sandbox/${id}`)).status).toBe(200)
  })

  it('forgets a destroyed sandbox after a day', async () => {
    const { id } = await world.create()
    await world.call('DELETE', `/sandbox/${id}`)
    await world.untilState(id, 'destroyed')
    await world.api.database.sql`update sandboxes set changed_at = now() - interval '25 hours' where id = ${id}`
    for (const [method, path] of [
      ['GET', `/sandbox/${id}`],
      ['DELETE', `/sandbox/${id}`],
    ] as const) {
      const answer = await world.call(method, path)
      expect([answer.status, messageOf(answer)]).toEqual([404, `Sandbox with ID ${id} not found`])
    }
  })

  it('may be created from an absent body, without a network, for another user', async () => {
    const empty = await world.call('POST', '/sandbox')
    expect(empty.status).toBe(200)
    const { id } = await world.create({
      networkBlockAll: true,
      user: 'ada',
      snapshot: '',
      public: true,
      class: 'large',
    })
    expect(world.runner.get(id).spec).toMatchObject({
      ...{ network: 'nat', networkRules: { blockAll: true }, user: 'ada', snapshot: 'host' },
    })
    expect(await world.get(id)).toMatchObject({ networkBlockAll: true, public: true, class: 'large' })
  })

  it('refuses commands that do not fit its state', async () => {
    const { id } = await world.create()
    const refused = async (action: string) => {
      const answer = await world.call('POST', `/sandbox/${id}/${action}`)
      return [answer.status, messageOf(answer)]
    }
    expect(await refused('start')).toEqual([400, 'Sandbox is not in valid state'])
    const hold = world.runner.hold('stop')
    await world.call('POST', `/sandbox/${id}/stop`)
    expect(await refused('stop')).toEqual([400, 'Sandbox state change in progress'])
    expect(await refused('start')).toEqual([400, 'Sandbox state change in progress'])
    expect((await world.get(id)).state).toBe('stopping')
    hold.release()
    await world.untilState(id, 'stopped')
    expect(await refused('stop')).toEqual([400, 'Sandbox is not started'])
  })

  it('answers newer SDKs with the sandbox, also when a started one is to start', async () => {
    const { id } = await world.create()
    const as = { ...world.principal, headers: { ...world.principal.headers, 'x-daytona-sdk-version': '0.218.0' } }
    const post = (action: string) => world.call('POST', `/sandbox/${id}/${action}`, { as })
    expect(await post('start')).toMatchObject({ status: 200, body: { id, state: 'started' } })
    expect(await post('stop')).toMatchObject({
      status: 200,
      body: { id, state: expect.stringMatching(/^stopp(ing|ed)$/) },
    })
    await world.untilState(id, 'stopped')
    expect(await post('archive')).toMatchObject({ status: 200, body: { id, state: 'archiving' } })
    expect(await post('start')).toMatchObject({ status: 400, body: { message: 'Sandbox state change in progress' } })
  })
})

describe('creation', () => {
  it.each([
    [
      'buildInfo with a snapshot',
      { snapshot: 'x', buildInfo: { dockerfileContent: 'FROM x' }, cpu: 2 },
      'Cannot specify both a snapshot and buildInfo',
    ],
    ['resources', { cpu: 2 }, 'Cannot specify Sandbox resources when using a snapshot'],
    ['resources of zero', { snapshot: 'y', gpu: 0 }, 'Cannot specify Sandbox resources when using a snapshot'],
    ['a build without a Dockerfile', { buildInfo: {} }, 'dockerfileContent'],
    ['volumes', { volumes: [{ volumeId: 'v', mountPath: '/v' }] }, 'Volume v not found'],
    ['an unknown snapshot', { snapshot: 'nope' }, 'Snapshot nope not found'],
    ['an unknown target', { target: 'mars' }, 'Target mars not found; there is us'],
    ['a wrong type', { labels: 'x' }, 'body.labels must be object'],
    ['a wrong value', { class: 'huge' }, 'body.class'],
    ['a negative interval', { autoStopInterval: -1 }, 'body.autoStopInterval'],
    ['an impossible variable', { env: { 'A=B': '1' } }, 'impossible name'],
    ['a reserved variable', { env: { ATOLL_TOOLBOX_TOKEN: '1' } }, 'reserved'],
    ['a NUL', { env: { A: 'x\0y' } }, 'NUL'],
    ['half a surrogate', { labels: { a: '\ud800' } }, 'surrogate'],
    [
      'too many labels',
      { labels: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, ''])) },
      'at most 64',
    ],
    ['too large an environment', { env: { BIG: 'x'.repeat(65_537) } }, 'at most 65536'],
    ['a user no system has', { user: 'Ada Lovelace' }, 'body.user'],
  ])('refuses %s with 400 and says so', async (_what, body, message) => {
    const answer = await world.call('POST', '/sandbox', { body })
    expect(answer.status).toBe(400)
    expect(messageOf(answer)).toContain(message)
  })

  it('answers 400 when the runner cannot start it, and the sandbox tells why', async () => {
    world.runner.fail('make', 400, 1)
    const answer = await world.call('POST', '/sandbox', { body: { labels: { broken: 'yes' } } })
    expect([answer.status, messageOf(answer)]).toEqual([
      400,
      'The sandbox could not be created: planned failure of make',
    ])
    const [broken] = (await world.call('GET', `/sandbox?labels=${encodeURIComponent('{"broken":"yes"}')}`))
      .body as Sandbox[]
    expect(broken).toMatchObject({ state: 'error', errorReason: messageOf(answer) })
    await world.call('DELETE', `/sandbox/${broken?.id}`)
    await world.untilState(broken?.id ?? '', 'destroyed')
  })

  it('is overtaken by a deletion', async () => {
    const hold = world.runner.hold('make')
    const creating = world.call('POST', '/sandbox', { body: { labels: { overtaken: 'yes' } } })
    await hold.reached
    const [row] = (await world.call('GET', `/sandbox?labels=${encodeURIComponent('{"overtaken":"yes"}')}`))
      .body as Sandbox[]
    expect(row).toMatchObject({ state: 'creating' })
    const deleted = await world.call('DELETE', `/sandbox/${row?.id}`)
    expect(deleted.body).toMatchObject({ state: 'destroying' })
    expect((await creating).status).toBe(400)
    hold.release()
    await world.untilState(row?.id ?? '', 'destroyed')
    await until('nothing is left on the runner', () => !world.runner.sandboxes.has(row?.id ?? ''))
  })

  it('works fifty times at once', async () => {
    const made = await Promise.all(Array.from({ length: 50 }, () => world.create()))
    expect(new Set(made.map((sandbox) => sandbox.id)).size).toBe(50)
    expect(made.every((sandbox) => sandbox.state === 'started')).toBe(true)
    await Promise.all(made.map(({ id }) => world.call('DELETE', `/sandbox/${id}`)))
    for (const { id } of made) await world.untilState(id, 'destroyed')
  })

  it('stops being waited for when the client goes away, and goes on', async () => {
    const hold = world.runner.hold('make')
    const leaving = new AbortController()
    const body = JSON.stringify({ labels: { left: 'yes' } })
    const gone = fetch(`${world.url}/api/sandbox`, {
      ...{ method: 'POST', headers: world.principal.headers, body, signal: leaving.signal },
    })
    gone.catch(() => undefined)
    await hold.reached
    leaving.abort()
    hold.release()
    await until('it is there all the same', async () => {
      const answer = await world.call('GET', `/sandbox?labels=${encodeURIComponent('{"left":"yes"}')}`)
      return (answer.body as Sandbox[])[0]?.state === 'started'
    })
  })

  it('starts once when two ask at once', async () => {
    const { id } = await world.create()
    await world.call('POST', `/sandbox/${id}/stop`)
    await world.untilState(id, 'stopped')
    const answers = await Promise.all([1, 2, 3].map(() => world.call('POST', `/sandbox/${id}/start`)))
    const statuses = answers.map((answer) => answer.status).sort()
    expect(statuses).toEqual([200, 400, 400])
    expect(world.runner.calls.filter((call) => call === `start ${id}`)).toHaveLength(2)
  })
})

describe('labels', () => {
  it('are replaced, and select what has all of them', async () => {
    const { id } = await world.create({ labels: { old: '1' } })
    const labels = { team: 'a', tier: '"quoted" %', constructor: 'x' }
    const put = await world.call('PUT', `/sandbox/${id}/labels`, { body: { labels } })
    expect([put.status, put.body]).toEqual([200, { labels }])
    expect((await world.get(id)).labels).toEqual(labels)
    const select = async (filter: object) => {
      const path = `/sandbox?verbose=true&labels=${encodeURIComponent(JSON.stringify(filter))}`
      return ((await world.call('GET', path)).body as Sandbox[]).map((sandbox) => sandbox.id)
    }
    expect(await select({ team: 'a', tier: '"quoted" %' })).toEqual([id])
    expect(await select({ team: 'b' })).toEqual([])
    expect(await select({ old: '1' })).toEqual([])
    expect(await select({})).toContain(id)
  })

  it.each(['{', '[]', '"x"', '{"a":1}', 'null'])('refuse the filter %s', async (filter) => {
    const answer = await world.call('GET', `/sandbox?labels=${encodeURIComponent(filter)}`)
    expect([answer.status, messageOf(answer)]).toEqual([400, 'querystring.labels must be a JSON object of strings'])
  })
})

describe('who may', () => {
  it('finds ids of another organization as unknown as those that do not exist', async () => {
    const { id } = await world.create()
    const stranger = await world.createPrincipal()
    const calls = [
      ['GET', ''],
      ['DELETE', ''],
      ['POST', '/start'],
      ['POST', '/stop'],
      ['PUT', '/labels'],
    ] as const
    for (const [method, suffix] of calls) {
      const options = suffix === '/labels' ? { body: { labels: {} } } : {}
      for (const wanted of [id, '9c5e0f0e-0000-4000-8000-000000000000', 'no-uuid', '%00']) {
        const answer = await world.call(method, `/sandbox/${wanted}${suffix}`, { ...options, as: stranger })
        const shown = decodeURIComponent(wanted)
        expect([answer.status, messageOf(answer)]).toEqual([404, `Sandbox with ID ${shown} not found`])
      }
    }
    expect((await world.call('GET', '/sandbox', { as: stranger })).body).toEqual([])
    expect((await world.get(id)).state).toBe('started')
  })

  it('needs the permission of each command, and only membership to read', async () => {
    const { id } = await world.create()
    const { sql } = world.api.database
    const reader = await world.createPrincipal({ permissions: [] })
    await sql`update sandboxes set organization_id = ${reader.organizationId} where id = ${id}`
    const status = async (method: string, path: string, body?: object) =>
      (await world.call(method, path, { as: reader, ...(body === undefined ? {} : { body }) })).status
    expect(await status('GET', `/sandbox/${id}`)).toBe(200)
    expect(await status('GET', '/sandbox')).toBe(200)
    expect(await status('POST', '/sandbox', {})).toBe(403)
    expect(await status('POST', `/sandbox/${id}/stop`)).toBe(403)
    expect(await status('POST', `/sandbox/${id}/start`)).toBe(403)
    expect(await status('PUT', `/sandbox/${id}/labels`, { labels: {} })).toBe(403)
    expect(await status('DELETE', `/sandbox/${id}`)).toBe(403)
  })
})

describe('bad input', () => {
  /** Values of every kind, near what the schema wants and far from it. */
  const anyValue = fc.oneof(
    fc.jsonValue(),
    fc.string({ unit: 'binary' }),
    fc.integer(),
    fc.double(),
    fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' })),
    fc.constantFrom('', 'host', 'us', 'small', 'daytona', '__proto__', null, [], {}),
  )
  const fields = Object.keys(CreateSandbox.properties)

  it('of any shape is answered below 500 with the body of the contract when creating', async () => {
    const bodies = fc.oneof(
      fc.record(Object.fromEntries(fields.map((field) => [field, anyValue])), { requiredKeys: [] }),
      fc.jsonValue(),
    )
    await fc.assert(
      fc.asyncProperty(bodies, async (body) => expectOrderly(await world.call('POST', '/sandbox', { body }))),
      { numRuns: 150 },
    )
  })

  it('of any shape is answered below 500 when setting labels', async () => {
    const { id } = await world.create()
    await fc.assert(
      fc.asyncProperty(anyValue, async (labels) =>
        expectOrderly(await world.call('PUT', `/sandbox/${id}/labels`, { body: { labels } })),
      ),
      { numRuns: 100 },
    )
  })

  it('in a path or a query is answered below 500', async () => {
    const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 100 })
    await fc.assert(
      fc.asyncProperty(text, async (given) => {
        const part = encodeURIComponent(given)
        expectOrderly(await world.call('GET', `/sandbox/${part}`))
        expectOrderly(await world.call('GET', `/sandbox?labels=${part}&verbose=${part}`))
        expectOrderly(await world.call('POST', `/toolbox/${part}/toolbox/files/${part}?${part}`))
      }),
      { numRuns: 60 },
    )
  })
})
