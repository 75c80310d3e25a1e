import { setTimeout } from 'node:timers/promises'
import { ErrorBody } from '@atoll/protocol'
import * as fc from 'fast-check'
import type { InjectOptions } from 'fastify'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AccessWorld, Place } from '../testing/access-world.ts'
import { createAccessWorld } from '../testing/access-world.ts'
import type { Shape } from '../testing/schema-values.ts'
import {
  fieldsIn,
  fittingValue,
  oddValue,
  requiredValue,
  toJson,
  withAt,
  wrongTypes,
} from '../testing/schema-values.ts'
import type { Route } from './unservable-requests.ts'

/** Calls that each caller makes of each route. */
const RUNS = 16
/** A call that takes longer counts as accepted: it waits for a runner that never comes. */
const PATIENCE_MS = 4_000
/** Thousands of calls run one by one, and some wait: minutes on a busy machine. */
const MANY_CALLS = { timeout: 600_000 }
/** Odd texts in place of a name or an id in a path. */
const ODD_SEGMENTS = ['%00', '%ED%A0%80', '%F0%9F%92%A5', '__proto__', "';--", '-1', '1e99', 'x'.repeat(600)]
/** The statuses that §2 of the contract gives to a server that cannot serve the call now. */
const UNAVAILABLE = new Set([502, 503, 504])
/** HEAD is GET without the answer's body, and the toolbox itself checks calls below `/toolbox`. */
const ELSEWHERE = /^HEAD |^\w+ \/api\/toolbox\//
/** Fields that no body may name: one that does not exist, and columns that a caller must not write. */
const UNKNOWN_FIELDS = [
  'zzUnknown',
  'id',
  'organizationId',
  'createdBy',
  'createdAt',
  'updatedAt',
  'regionType',
  'state',
]

/** One input of a route, a body or a query, with the caller that sends it. */
interface Input {
  readonly route: Route
  readonly part: 'body' | 'querystring'
  readonly shape: Shape
  readonly path: string
  readonly place: Place
  /** The role of the place's owner, who is the caller. */
  readonly systemRole: 'admin' | 'user'
}

interface Answer {
  status: number
  message: string
}

let access: AccessWorld
let inputs: Input[]
let calls = 0

beforeAll(async () => {
  access = await createAccessWorld()
  inputs = await findInputs()
})
afterAll(() => access[Symbol.asyncDispose]())

test('a field of a wrong type is named by a 400, and so is one that is missing', MANY_CALLS, async () => {
  const silent: string[] = []
  for (const input of inputs) {
    const [fitting] = fc.sample(requiredValue(input.shape), { numRuns: 1, seed: 1 })
    for (const { value, names } of broken(input, fitting)) {
      const { status, message } = await call(input, value, 'refused')
      if (status === 403 && input.systemRole === 'user') continue
      if (status !== 400 || !message.includes(names)) silent.push(`${nameOf(input)} ${names}: ${status} ${message}`)
    }
  }
  expect(silent).toEqual([])
})

test(
  'whatever a body or a query holds is answered below 500, and no unknown field is refused',
  MANY_CALLS,
  async () => {
    for (const input of inputs) {
      const given = fc.oneof(fittingValue(input.shape), oddValue(input.shape))
      await fc.assert(
        fc.asyncProperty(given, async (value) => {
          const answer = await call(input, withUnknown(value, input.shape))
          // A refused call changed nothing: it must be refused without the unknown field as well.
          if (answer.status === 400) {
            expect((await call(input, value, 'refused')).status, answer.message).toBe(400)
          }
        }),
        { numRuns: RUNS, endOnFailure: true },
      )
    }
  },
)

test('whatever a path holds is answered below 500', MANY_CALLS, async () => {
  const place = await createPlace('admin')
  for (const { method, url } of routes()) {
    const path = await access.pathIn(url, place)
    for (const [position, part] of url.split('/').entries()) {
      if (!part.startsWith(':')) continue
      for (const odd of ODD_SEGMENTS) {
        await request({ method, url: path.split('/').with(position, odd).join('/') }, place)
      }
    }
  }
})

/** Lists the inputs of every route, for an administrator in their own organization and for the owner of another. */
async function findInputs(): Promise<Input[]> {
  const all: Input[] = []
  for (const route of routes()) {
    for (const part of ['body', 'querystring'] as const) {
      const shape = route.schema?.[part] as Shape | undefined
      if (shape === undefined) continue
      for (const systemRole of ['admin', 'user'] as const) {
        const place = await createPlace(systemRole)
        all.push({ route, part, shape, systemRole, place, path: await access.pathIn(route.url, place) })
      }
    }
  }
  return all
}

function routes(): Route[] {
  return access.world.api.routes.filter(({ method, url }) => !ELSEWHERE.test(`${method} ${url}`))
}

/** Creates an organization whose owner has this system role. */
async function createPlace(systemRole: 'admin' | 'user'): Promise<Place> {
  const { world } = access
  const owner = await world.createOrganization(await world.createUser({ systemRole }))
  return { owner, member: await world.join(owner.organizationId, await world.createUser(), 'member') }
}

function call({ route, part, path, place }: Input, value: unknown, expected?: 'refused'): Promise<Answer> {
  return part === 'body'
    ? request({ method: route.method, url: path, payload: toJson(value) }, place, expected)
    : request({ method: route.method, url: `${path}?${queryOf(value)}` }, place, expected)
}

/**
 * Calls as the place's owner. Fails for an answer that is no error of the contract, or an error that must not occur.
 * Waits for the answer of a call that must be refused, however long the machine takes.
 */
async function request(
  call: { method: string; url: string; payload?: string | undefined },
  place: Place,
  expected?: 'refused',
): Promise<Answer> {
  calls += 1
  const options = {
    ...call,
    headers: { ...place.owner.headers, 'content-type': 'application/json' },
    // Each call has another address: one that shows many wrong passwords is blocked for a while.
    remoteAddress: `10.${calls >> 16}.${(calls >> 8) & 255}.${calls & 255}`,
  } as InjectOptions
  const answer = await (expected === 'refused' ? access.world.api.app.inject(options) : answerInTime(options))
  if (call.url.endsWith('/suspend')) await access.world.api.database.sql`update organizations set suspended = false`
  if (answer === undefined || answer.statusCode < 400) return { status: 202, message: '' }
  const { statusCode: status, body } = answer
  const what = `${call.method} ${call.url}: ${body}`
  if (!UNAVAILABLE.has(status)) expect(status, what).toBeLessThan(500)
  const told = JSON.parse(body) as ErrorBody
  expect(Value.Errors(ErrorBody, told), what).toEqual([])
  return { status, message: told.message }
}

/** Returns undefined for a call that takes longer than a refusal would. */
async function answerInTime(options: InjectOptions) {
  const answered = new AbortController()
  const patience = setTimeout(PATIENCE_MS, undefined, { signal: answered.signal }).catch(() => undefined)
  const answer = await Promise.race([access.world.api.app.inject(options), patience])
  answered.abort()
  return answer
}

function withUnknown(value: unknown, shape: Shape): unknown {
  const isObject = typeof value === 'object' && value !== null && !Array.isArray(value)
  const unknown = UNKNOWN_FIELDS.filter((name) => shape.properties?.[name] === undefined)
  const more = unknown.map((name) => [name, '\ud800\0'] as const)
  return isObject ? Object.fromEntries([...more, ...Object.entries(value)]) : value
}

/** Writes every value as text, and a list as one field per item. */
function queryOf(value: unknown): URLSearchParams {
  const fields = typeof value === 'object' && value !== null ? Object.entries(value) : []
  return new URLSearchParams(
    fields.flatMap(([name, field]) => [field].flat().map((one): [string, string] => [name, textOf(one)])),
  )
}

function textOf(value: unknown): string {
  return (typeof value === 'object' ? toJson(value) : undefined) ?? String(value)
}

/** Yields the value with each field in turn wrong or absent, and the name that the error must contain. */
function* broken({ shape, part }: Input, fitting: unknown): Generator<{ value: unknown; names: string }> {
  for (const [path, field] of fieldsIn(shape)) {
    const wrongs = part === 'body' ? wrongTypes(field) : wrongTexts(field)
    for (const wrong of wrongs) yield { value: withAt(fitting, path, wrong), names: [part, ...path].join('.') }
  }
  for (const name of shape.required ?? []) {
    if (shape.properties?.[name] !== undefined && 'default' in shape.properties[name]) continue
    const { [name]: _left, ...rest } = fitting as Readonly<Record<string, unknown>>
    yield { value: rest, names: name }
  }
}

/** Any text is a valid string in a query. */
function wrongTexts(field: Shape): unknown[] {
  return ['integer', 'number', 'boolean'].includes(field.type ?? '') || field.enum !== undefined ? ['x y'] : []
}

function nameOf({ route, part }: Input): string {
  return `${route.method} ${route.url} ${part}`
}
