import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { openSocket, rawHttp, readAnswer } from '../testing/raw-http.ts'
import { createTestFrame } from '../testing/test-frame.ts'
import { MAX_JSON_BODY_BYTES, MAX_JSON_LEVELS } from './json-body.ts'

function echo() {
  return createTestFrame(async (app) => {
    app.post('/echo', async ({ body }) => ({ body: body ?? 'none' }))
    app.post('/tiny', { bodyLimit: 10 }, async ({ body }) => ({ body }))
  })
}

test.each([
  ['application/json', 'application/json'],
  ['a charset', 'application/json; charset=utf-8'],
  ['a form', 'application/x-www-form-urlencoded'],
  ['plain text', 'text/plain'],
  ['no media type at all', 'json'],
  ['an empty type', ''],
  ['no type', undefined],
])('JSON is read with the content type: %s', async (_name, type) => {
  await using frame = await echo()
  const headers = type === undefined ? {} : { 'content-type': type }
  const response = await frame.app.inject({ method: 'POST', url: '/echo', headers, payload: '{"a":[1]}' })
  expect(response.json()).toEqual({ body: { a: [1] } })
})

test.each([
  ['absent', undefined],
  ['empty', ''],
  ['white space', ' \n'],
])('a body that is %s is none, whatever its content type', async (_name, payload) => {
  await using frame = await echo()
  const headers = { 'content-type': 'application/json' }
  const response = await frame.app.inject({ method: 'POST', url: '/echo', headers, ...(payload ? { payload } : {}) })
  expect(response.json()).toEqual({ body: 'none' })
})

test.each([
  ['broken', Buffer.from('{"a":')],
  ['not UTF-8', Buffer.from([0x22, 0xff, 0x22])],
  ['two documents', Buffer.from('{}{}')],
])('a body that is %s is 400', async (_name, payload) => {
  await using frame = await echo()
  const response = await frame.app.inject({ method: 'POST', url: '/echo', payload })
  expect(response.statusCode).toBe(400)
  expect(response.json()).toMatchObject({ code: 'INVALID_JSON' })
})

test('a deeply nested body does no harm', async () => {
  await using frame = await echo()
  const payload = '['.repeat(400_000) + ']'.repeat(400_000)
  const response = await frame.app.inject({ method: 'POST', url: '/tiny', payload })
  expect(response.statusCode).toBe(413)
  const nested = await frame.app.inject({ method: 'POST', url: '/nowhere', payload })
  expect(nested.statusCode).toBe(404)
  const refused = await frame.app.inject({ method: 'POST', url: '/echo', payload })
  expect(refused.json()).toMatchObject({ statusCode: 400, code: 'INVALID_JSON' })
})

test.each([
  [MAX_JSON_LEVELS, 200],
  [MAX_JSON_LEVELS + 1, 400],
])('a body of %i lists in each other is answered by %i', async (levels, status) => {
  await using frame = await echo()
  const payload = '['.repeat(levels) + ']'.repeat(levels)
  expect((await frame.app.inject({ method: 'POST', url: '/echo', payload })).statusCode).toBe(status)
})

test.each([
  '{"a":1,"__proto__":{"admin":true}}',
  '{"a":1,"\\u005f_proto__":{"admin":true}}',
  '{"a":1,"constructor":{"prototype":{"admin":true}}}',
])('keys that would reach a prototype are dropped: %s', async (payload) => {
  await using frame = await echo()
  const response = await frame.app.inject({ method: 'POST', url: '/echo', payload })
  expect(response.statusCode).toBe(200)
  expect(response.body).not.toContain('admin')
  expect(response.json().body).toMatchObject({ a: 1 })
})

test('a body over the limit is 413, declared or not', async () => {
  await using frame = await echo()
  const port = await listen(frame.app)
  const declared = await rawHttp(
    port,
    `POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: ${MAX_JSON_BODY_BYTES + 1}\r\n\r\n`,
  )
  expect(declared.status).toBe(413)
  const socket = await openSocket(port)
  const answer = readAnswer(socket)
  socket.write('POST /tiny HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nb\r\n"123456789"\r\n')
  expect(await answer).toMatchObject({ status: 413 })
})

test('a client that goes away in the middle of its body harms nobody', async () => {
  await using frame = await echo()
  const socket = await openSocket(await listen(frame.app))
  socket.write('POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{"a":')
  await new Promise<void>((resolve) => frame.app.server.once('request', () => resolve()))
  socket.destroy()
  await frame.inFlight.untilNone()
  expect((await frame.app.inject({ method: 'POST', url: '/echo', payload: '1' })).statusCode).toBe(200)
})

async function listen(app: {
  listen: (o: object) => Promise<string>
  server: { address(): unknown }
}): Promise<number> {
  await app.listen({ port: 0, host: '127.0.0.1' })
  return (app.server.address() as AddressInfo).port
}
