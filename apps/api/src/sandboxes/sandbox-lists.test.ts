import { randomUUID } from 'node:crypto'
import type { ErrorBody, NumberedSandboxPage, Sandbox, SandboxPage } from '@atoll/protocol'
import {
  desiredSandboxStates,
  isStorableState,
  SandboxPage as SandboxPageSchema,
  shownState,
  storedSandboxStates,
} from '@atoll/protocol'
import * as fc from 'fast-check'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import type { TestPrincipal } from '../testing/test-api.ts'

const CORES = [3, 1, 2, 1, 2]

let world: SandboxWorld
/** The owner of five sandboxes, named s0 to s4, each used a minute after the one before. */
let owner: TestPrincipal
let made: Sandbox[]

beforeAll(async () => {
  world = await createSandboxWorld()
  owner = await world.createPrincipal()
  const { sql } = world.api.database
  made = []
  for (const [index, cpu] of CORES.entries()) {
    const labels = { parity: index % 2 === 0 ? 'even' : 'odd' }
    // They were last used long ago, so they have no timer that would stop them.
    const body = { name: `s${index}`, labels, public: index === 0, autoStopInterval: 0 }
    const { id } = (await world.call('POST', '/sandbox', { body, as: owner })).body as Sandbox
    // Microseconds, which a clock of JavaScript never writes.
    await sql`
      update sandboxes set cpu = ${cpu}, created_at = timestamptz '2026-01-01 00:00:00.000001Z' - ${index} * interval '1 h',
        last_activity_at = timestamptz '2026-01-01 00:00:00.000001Z' + ${index} * interval '1 min' where id = ${id}`
    made.push((await world.call('GET', `/sandbox/${id}`, { as: owner })).body as Sandbox)
  }
})
afterAll(() => world[Symbol.asyncDispose]())

async function list(query: Record<string, string | string[]>, version = '0.218.0'): Promise<Response> {
  const pairs = Object.entries(query).flatMap(([key, values]) =>
    [values].flat().map((value): [string, string] => [key, value]),
  )
  const headers = { ...owner.headers, 'x-daytona-sdk-version': version }
  return await fetch(`${world.url}/api/sandbox?${new URLSearchParams(pairs)}`, { headers })
}

async function page(query: Record<string, string | string[]>): Promise<SandboxPage> {
  const answer = await list(query)
  expect(answer.status).toBe(200)
  return (await answer.json()) as SandboxPage
}

async function names(query: Record<string, string | string[]>): Promise<string> {
  return (await page(query)).items.map(({ name }) => name).join(' ')
}

describe('GET /sandbox', () => {
  it.each(['', '0.17.0', '0.23.1', '0.179.9'])('answers version %j with an array, newest first', async (version) => {
    const body = (await (await list({}, version)).json()) as Sandbox[]
    expect(body.map(({ name }) => name)).toEqual(['s0', 's1', 's2', 's3', 's4'])
    expect(body[0]).toHaveProperty('env')
  })

  it('answers newer ones with a page, last used first, without environments', async () => {
    const body = await page({})
    expect(Value.Check(SandboxPageSchema, body)).toBe(true)
    expect(body.items.map(({ name }) => name)).toEqual(['s4', 's3', 's2', 's1', 's0'])
    expect(body.nextCursor).toBeNull()
    expect(body.items[0]).not.toHaveProperty('env')
    expect(body.items[0]?.toolboxProxyUrl).toBe(`${world.url}/api/toolbox-proxy`)
  })

  it.each([
    ['lastActivityAt', 'desc', 's4 s3 s2 s1 s0'],
    ['lastActivityAt', 'asc', 's0 s1 s2 s3 s4'],
    ['createdAt', 'desc', 's0 s1 s2 s3 s4'],
    ['name', 'asc', 's0 s1 s2 s3 s4'],
    ['name', 'desc', 's4 s3 s2 s1 s0'],
  ])('by %s, %s, comes in pages that join to the whole', async (sort, order, whole) => {
    for (const limit of ['1', '2', '4', '5']) {
      const seen: string[] = []
      let cursor = ''
      do {
        const { items, nextCursor } = await page({ sort, order, limit, cursor })
        expect(items.length).toBeGreaterThan(0)
        seen.push(...items.map(({ name }) => name))
        cursor = nextCursor ?? ''
      } while (cursor !== '')
      expect(seen.join(' ')).toBe(whole)
    }
  })

  it('loses and repeats none where several are equal', async () => {
    const seen: number[] = []
    let cursor = ''
    do {
      const { items, nextCursor } = await page({ sort: 'cpu', order: 'asc', limit: '2', cursor })
      seen.push(...items.map(({ cpu }) => cpu))
      cursor = nextCursor ?? ''
    } while (cursor !== '')
    expect(seen).toEqual([...CORES].sort())
  })

  it.each<[string, Record<string, string | string[]>, string]>([
    ['labels', { labels: '{"parity":"odd"}' }, 's3 s1'],
    ['the beginning of a name', { name: 's' }, 's4 s3 s2 s1 s0'],
    ['a name with wildcards', { name: 's%' }, ''],
    ['one state', { states: 'started' }, 's4 s3 s2 s1 s0'],
    ['several states', { states: ['archived', 'stopped'] }, ''],
    ['a snapshot', { snapshots: ['host', 'other'] }, 's4 s3 s2 s1 s0'],
    ['another snapshot', { snapshots: 'other' }, ''],
    ['a region', { regionIds: 'us' }, 's4 s3 s2 s1 s0'],
    ['another region', { regionIds: 'eu' }, ''],
    ['a class', { sandboxClasses: ['container', 'linux-vm'] }, 's4 s3 s2 s1 s0'],
    ['another class', { sandboxClasses: 'linux-vm' }, ''],
    ['being public', { isPublic: 'true' }, 's0'],
    ['being private', { isPublic: 'false' }, 's4 s3 s2 s1'],
    ['being recoverable', { isRecoverable: 'true' }, ''],
    ['cores', { minCpu: '1.5', maxCpu: '2' }, 's4 s2'],
    ['memory and disk', { minMemoryGiB: '2', maxDiskGiB: '1' }, ''],
    ['the time of creation', { createdAtBefore: '2025-12-31T22:30:00Z' }, 's4 s3 s2'],
    ['the last use', { lastEventAfter: '2026-01-01T00:02:30.000Z' }, 's4 s3'],
  ])('can be narrowed to %s', async (_what, query, found) => {
    expect(await names(query)).toBe(found)
  })

  it('can be narrowed to the beginning of an id', async () => {
    const { id } = made[2] as Sandbox
    expect(await names({ id: id.slice(0, 13).toUpperCase() })).toBe('s2')
  })

  it('shows what failed and is marked for deletion only when asked to', async () => {
    const { sql } = world.api.database
    const { id } = made[4] as Sandbox
    await sql`update sandboxes set state = 'error', desired_state = 'destroyed', lease_expires_at = now() + interval '1 h' where id = ${id}`
    expect(await names({})).toBe('s3 s2 s1 s0')
    expect(await names({ includeErroredDeleted: 'true' })).toBe('s4 s3 s2 s1 s0')
    await sql`update sandboxes set state = 'started', desired_state = 'started', lease_expires_at = null where id = ${id}`
  })

  it.each([
    { cursor: 'nonsense' },
    { cursor: Buffer.from('["lastActivityAt","desc","x","y"]').toString('base64url') },
    { cursor: Buffer.from(JSON.stringify(['cpu', 'desc', '1', randomUUID()])).toString('base64url') },
    {
      cursor: Buffer.from(JSON.stringify(['cpu', 'desc', '9'.repeat(30), randomUUID()])).toString('base64url'),
      sort: 'cpu',
    },
    { cursor: Buffer.from(JSON.stringify(['name', 'desc', '\0', randomUUID()])).toString('base64url'), sort: 'name' },
    { limit: '0' },
    { limit: '101' },
    { sort: 'color' },
    { order: 'up' },
    { createdAtAfter: 'yesterday' },
    { createdAtAfter: '2026-01-01T23:59:60Z' },
    { labels: '[]' },
    { states: 'a\0b' },
  ])('refuses %j', async (query) => {
    const answer = await list(query)
    expect([answer.status, ((await answer.json()) as ErrorBody).statusCode]).toEqual([400, 400])
  })

  it('answers any cursor below 500', async () => {
    const key = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.bigInt().map(String),
      fc.constantFrom('9999999999999999', '999999999'),
    )
    const sort = fc.constantFrom('name', 'cpu', 'lastActivityAt')
    await fc.assert(
      fc.asyncProperty(sort, key, async (by, value) => {
        const cursor = Buffer.from(JSON.stringify([by, 'desc', value, randomUUID()])).toString('base64url')
        expect((await list({ sort: by, cursor })).status).toBeLessThan(500)
      }),
      { numRuns: 60 },
    )
  })
})

describe('GET /sandbox/paginated', () => {
  async function numbered(query: string): Promise<NumberedSandboxPage> {
    return (await world.call('GET', `/sandbox/paginated?${query}`, { as: owner })).body as NumberedSandboxPage
  }

  it('comes by the number of the page, newest first', async () => {
    const second = await numbered('page=2&limit=2')
    expect(second).toMatchObject({ total: 5, page: 2, totalPages: 3, items: [{ name: 's2' }, { name: 's3' }] })
    expect(second.items[0]).toHaveProperty('env')
    expect(await numbered('page=9&limit=2')).toMatchObject({ total: 5, page: 9, totalPages: 3, items: [] })
  })

  it('can be narrowed and ordered', async () => {
    const query = `sort=name&order=desc&regions=us&regions=eu&labels=${encodeURIComponent('{"parity":"even"}')}`
    expect(await numbered(query)).toMatchObject({
      ...{ total: 3, page: 1, totalPages: 1 },
      items: [{ name: 's4' }, { name: 's2' }, { name: 's0' }],
    })
    expect(await numbered('isRecoverable=true')).toEqual({ total: 0, page: 1, totalPages: 0, items: [] })
  })
})

it.each([false, true])('the state that lists are narrowed by is the state that is shown; lost: %s', async (lost) => {
  const { sql } = world.api.database
  const { id } = made[0] as Sandbox
  for (const state of storedSandboxStates) {
    for (const desiredState of desiredSandboxStates) {
      const shown = shownState({ state, desiredState, lost })
      if (shown === 'destroyed' || !isStorableState(state, desiredState)) continue
      if (lost && (desiredState === 'destroyed' || !['started', 'stopped', 'error'].includes(state))) continue
      // Leased, so that no reconciler takes a step for it.
      await sql`
        update sandboxes set state = ${state}, desired_state = ${desiredState}, lost = ${lost},
          lease_owner = ${randomUUID()}, lease_expires_at = now() + interval '1 h',
          resize_cpu = 1, backup_id = ${randomUUID()} where id = ${id}`
      expect(await names({ states: shown, name: 's0', includeErroredDeleted: 'true' })).toBe('s0')
      expect(await names({ states: 'other', name: 's0', includeErroredDeleted: 'true' })).toBe('')
    }
  }
})
