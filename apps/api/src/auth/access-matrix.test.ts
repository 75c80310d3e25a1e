import { randomUUID } from 'node:crypto'
import type { InjectOptions } from 'fastify'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AccessWorld, Place } from '../testing/access-world.ts'
import { createAccessWorld, isText, segmentBefore } from '../testing/access-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'

/** A route of the API. */
interface Route {
  method: string
  url: string
}

const MATRIX = './access-matrix.tsv'
const READING = new Set(['GET', 'HEAD', 'OPTIONS'])
/**
 * Not in the table: the API's page and metrics, HEAD and OPTIONS, which every path has, and a method that Node 20
 * cannot receive.
 */
const OUTSIDE = /^(HEAD|OPTIONS|QUERY) |^GET \/(metrics|api\/docs)/

/** Thousands of calls run one by one: minutes on a busy machine. */
const MANY_CALLS = { timeout: 600_000 }

let access: AccessWorld
let calls = 0

beforeAll(async () => {
  access = await createAccessWorld()
})
afterAll(() => access[Symbol.asyncDispose]())

/**
 * Each row is a route, each cell the status that a caller gets. The calls have no body, so that an authorized call does
 * no more than it must: a 400 means that the caller has access.
 */
test(
  'who may call what is what the table says; `vitest -u` writes it anew: read the difference',
  MANY_CALLS,
  async () => {
    const rows: string[] = []
    const at = { place: await access.createPlace() }
    for (const route of routes()) rows.push([route.method, route.url, ...(await statuses(route, at))].join('\t'))
    const head = ['method', 'route', ...Object.keys(callers)].join('\t')
    await expect(`${[head, ...rows.sort()].join('\n')}\n`).toMatchFileSnapshot(MATRIX)
  },
)

test('ids of others look like ids that do not exist', MANY_CALLS, async () => {
  const [mine, theirs] = [await access.createPlace(), await access.createPlace()]
  const telling: string[] = []
  for (const route of routes()) {
    const path = await access.pathIn(route.url, mine)
    for (const [position, segment] of ownedParameters(route.url)) {
      const answer = (value: string) =>
        answerTo(route, { path: path.split('/').with(position, value).join('/'), value, as: mine.owner })
      const foreign = await answer(await access.thing(segment, theirs))
      const unknown = await answer(randomUUID())
      if (foreign !== unknown) telling.push(`${route.method} ${route.url}\n  ${foreign}\n  ${unknown}`)
    }
  }
  expect(telling).toEqual([])
})

/** The callers by the name of their column, beginning with the one that has the least access. */
const callers: Record<string, (place: Place) => Promise<TestPrincipal | string | undefined>> = {
  nobody: async () => undefined,
  'wrong key': async () => `dtn_${'0'.repeat(64)}`,
  'key without permission': ({ owner }) => access.world.keyIn(owner.organizationId, owner.userId, []),
  'member without role': async ({ member }) => member,
  "other organization's owner": async () => (await access.createPlace()).owner,
  "suspended organization's owner": async ({ owner }) => {
    await access.world.api.database.sql`
      update organizations set suspended = true, suspended_at = now() where id = ${owner.organizationId}`
    return owner
  },
  owner: async ({ owner }) => owner,
  administrator: async () => access.administrator,
}

function routes(): Route[] {
  const { api } = access.world
  return api.routes.filter(({ method, url }) => !OUTSIDE.test(`${method} ${url}`))
}

/** Returns the status for each caller. A call that may have changed the place gives the next caller a new one. */
async function statuses(route: Route, at: { place: Place }): Promise<number[]> {
  const all: number[] = []
  for (const become of Object.values(callers)) {
    const path = await access.pathIn(route.url, at.place)
    const as = await become(at.place)
    const { statusCode } = await call(route, path, typeof as === 'object' ? as.apiKey : as)
    await access.world.api.database.sql`update organizations set suspended = false where suspended`
    if (!READING.has(route.method) && statusCode < 400) at.place = await access.createPlace()
    all.push(statusCode)
  }
  return all
}

/** Positions of the path parameters that name a resource of an organization, each with the segment before it. */
function ownedParameters(url: string): [number, string][] {
  const parts = url.split('/')
  return parts.flatMap((part, position): [number, string][] => {
    const segment = segmentBefore(parts, position)
    return part.startsWith(':') && !isText(segment) ? [[position, segment]] : []
  })
}

/** Returns status and body without the values that differ in every answer. */
async function answerTo(route: Route, at: { path: string; value: string; as: TestPrincipal }): Promise<string> {
  const answer = await call(route, at.path, at.as.apiKey)
  const told = answer.body.replaceAll(at.value, '<id>').replaceAll(/"(path|timestamp|requestId)":"[^"]*"/g, '')
  return `${answer.statusCode} ${told}`
}

function call(route: Route, path: string, key: string | undefined) {
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` }
  calls += 1
  // Each call has another address: one that shows many wrong keys is blocked for a while.
  const remoteAddress = `10.${calls >> 8}.${calls & 255}.1`
  const request = { method: route.method, url: path, headers, remoteAddress } as InjectOptions
  return access.world.api.app.inject(request)
}
