import type { ErrorCode } from '@atoll/protocol'
import { AppError, ErrorBody, errorStatus } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { expect, test } from 'vitest'
import { createLogLines } from '../testing/log-lines.ts'
import { createTestDatabase } from '../testing/test-database.ts'
import { createTestFrame } from '../testing/test-frame.ts'
import { users } from '../users/user-table.ts'

const codes = Object.keys(errorStatus) as ErrorCode[]

test.each(codes)('%s is answered with its status and the body of every error', async (code) => {
  await using frame = await createTestFrame(async (app) => {
    app.get('/fail', async () => {
      throw new AppError(code, 'because')
    })
  })
  const response = await frame.app.inject({ url: '/fail?secret=1', headers: { 'x-request-id': 'r-1' } })
  expect(response.statusCode).toBe(errorStatus[code])
  expect(response.headers['content-type']).toBe('application/json; charset=utf-8')
  expect(response.json()).toEqual({
    statusCode: errorStatus[code],
    message: 'because',
    error: expect.stringMatching(/^[A-Z]/),
    code,
    source: 'DAYTONA_API',
    path: '/fail',
    method: 'GET',
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    requestId: 'r-1',
  })
  expect(Value.Check(ErrorBody, response.json())).toBe(true)
})

test.each([
  ['an error', () => new Error('the password is hunter2')],
  ['an error with a status', () => Object.assign(new Error('hunter2'), { statusCode: 503 })],
  ['something that is no error', () => 'hunter2'],
  ['nothing', () => undefined],
])('%s that nobody expected is 500 with a fixed message, and logged whole', async (_name, make) => {
  const { log, lines } = createLogLines()
  await using frame = await createTestFrame(async (app) => {
    app.get('/fail', () => Promise.reject(make()))
  }, log)
  const response = await frame.app.inject('/fail')
  expect(response.statusCode).toBe(500)
  expect(response.json()).toMatchObject({ code: 'INTERNAL_SERVER_ERROR', message: 'Internal server error' })
  expect(response.body).not.toContain('hunter2')
  expect(lines.find(({ msg }) => msg === 'request failed')).toMatchObject({ requestId: expect.any(String) })
})

test.each([
  ['53100', 'The database cannot write: its disk is full'],
  ['57P01', 'The database cannot be reached'],
])('what PostgreSQL fails with as %s is 503', async (code, message) => {
  await using database = await createTestDatabase()
  await using frame = await createTestFrame(async (app) => {
    app.get('/fail', async () => {
      await database.db.execute(`do $$ begin raise exception 'hunter2' using errcode = '${code}'; end $$`)
    })
  })
  const response = await frame.app.inject('/fail')
  expect(response.statusCode).toBe(503)
  expect(response.json()).toMatchObject({ code: 'SERVICE_UNAVAILABLE', message })
})

test('the log of a failed query holds its text but not its values', async () => {
  await using database = await createTestDatabase()
  const { log, lines, text } = createLogLines()
  await using frame = await createTestFrame(async (app) => {
    app.get('/fail', async () => {
      await database.db.insert(users).values({ id: '', name: 'hunter2', role: 'user' })
    })
  }, log)
  expect((await frame.app.inject('/fail')).statusCode).toBe(500)
  const err = lines.find(({ msg }) => msg === 'request failed')?.['err']
  expect(err).toMatchObject({ message: expect.stringContaining('insert into "users"'), stack: expect.any(String) })
  expect(err).toMatchObject({ cause: { code: '23514', message: expect.stringContaining('users_id_check') } })
  expect(text()).not.toContain('hunter2')
})

test('a wrong field is named with its place', async () => {
  const Body = Type.Object({
    name: Type.String({ minLength: 1 }),
    labels: Type.Optional(Type.Record(Type.String(), Type.String())),
    count: Type.Optional(Type.Integer({ minimum: 0 })),
    kind: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')])),
  })
  await using frame = await createTestFrame(async (app) => {
    app.post('/things', { schema: { body: Body } }, async () => ({}))
  })
  const post = async (payload: object) => {
    const response = await frame.app.inject({ method: 'POST', url: '/things', payload })
    expect(response.json()).toMatchObject(
      response.statusCode === 200 ? {} : { code: 'VALIDATION_FAILED', statusCode: 400 },
    )
    return response.statusCode === 200 ? 'fine' : response.json().message
  }
  expect(await post({ name: 'x', unknown: { field: 1 } })).toBe('fine')
  expect(await post({})).toBe('body must have required properties name')
  expect(await post({ name: 5 })).toBe('body.name must be string')
  expect(await post({ name: null })).toBe('body.name must be string')
  expect(await post({ name: 'x', labels: { 'a/b': 1 } })).toBe('body.labels.a/b must be string')
  expect(await post({ name: 'x', count: '5' })).toBe('body.count must be integer')
  expect(await post({ name: 'x', count: -1 })).toBe('body.count must be >= 0')
  expect(await post({ name: 'x', kind: 'c' })).toContain('body.kind')
  expect(await post([])).toContain('body must be object')
})

test('text of a query and a path becomes what its schema asks for', async () => {
  const query = Type.Object({
    flag: Type.Optional(Type.Boolean()),
    count: Type.Integer({ default: 7 }),
    names: Type.Optional(Type.Array(Type.String())),
  })
  await using frame = await createTestFrame(async (app) => {
    const params = Type.Object({ on: Type.Boolean() })
    app.get('/things/:on', { schema: { params, querystring: query } }, async ({ params, query }) => ({ params, query }))
  })
  const get = async (url: string) => (await frame.app.inject(url)).json()
  expect(await get('/things/1?flag=0&count=3&names=a')).toEqual({
    params: { on: true },
    query: { flag: false, count: 3, names: ['a'] },
  })
  expect(await get('/things/false?flag=true&names=a&names=b')).toEqual({
    params: { on: false },
    query: { flag: true, count: 7, names: ['a', 'b'] },
  })
  expect(await get('/things/maybe')).toMatchObject({ statusCode: 400, message: 'params.on must be boolean' })
  expect(await get('/things/1?count=many')).toMatchObject({ message: 'querystring.count must be integer' })
})

test('a database that cannot be reached is 503', async () => {
  await using database = await createTestDatabase()
  await using frame = await createTestFrame(async (app) => {
    app.get('/users', async () => database.db.select().from(users))
  })
  await database.close()
  const response = await frame.app.inject('/users')
  expect(response.json()).toMatchObject({ statusCode: 503, code: 'SERVICE_UNAVAILABLE' })
})

test('text with a zero character, which PostgreSQL cannot hold, is 400', async () => {
  await using database = await createTestDatabase()
  await using frame = await createTestFrame(async (app) => {
    const body = Type.Object({ name: Type.String() })
    app.post('/users', { schema: { body } }, async ({ body: { name } }) => {
      await database.db.insert(users).values({ id: 'u1', name, role: 'user' })
    })
  })
  const response = await frame.app.inject({ method: 'POST', url: '/users', payload: { name: 'a\u0000b' } })
  expect(response.json()).toMatchObject({ statusCode: 400, code: 'BAD_REQUEST' })
})

test('an answer that breaks its schema is 500, not the answer', async () => {
  await using frame = await createTestFrame(async (app) => {
    const response = { 200: Type.Object({ count: Type.Integer() }) }
    app.get('/broken', { schema: { response } }, async () => JSON.parse('{"count":"many"}'))
  })
  expect((await frame.app.inject('/broken')).json()).toMatchObject({ code: 'INTERNAL_SERVER_ERROR' })
})
