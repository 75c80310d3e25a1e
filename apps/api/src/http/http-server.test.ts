import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { createLogLines } from '../testing/log-lines.ts'
import { rawHttp } from '../testing/raw-http.ts'
import type { TestFrame } from '../testing/test-frame.ts'
import { createTestFrame } from '../testing/test-frame.ts'

test.each([
  ['what is no HTTP', 'nonsense\r\n\r\n', 400, 'BAD_REQUEST'],
  ['a broken header', 'GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n', 400, 'BAD_REQUEST'],
  ['two lengths', 'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n', 400, 'BAD_REQUEST'],
  ['headers that are too large', `GET / HTTP/1.1\r\nhost: ${'x'.repeat(40_000)}\r\n\r\n`, 431, 'HEADERS_TOO_LARGE'],
])('%s is refused with the body of every error', async (...[, text, status, code]) => {
  await using frame = await createTestFrame(async () => undefined)
  const answer = await rawHttp(await listen(frame), text)
  expect(answer.status).toBe(status)
  expect(JSON.parse(answer.body)).toMatchObject({ statusCode: status, code, source: 'DAYTONA_API' })
})

test('a sane request id is kept, and any other replaced', async () => {
  await using frame = await createTestFrame(async () => undefined)
  const idFor = async (given: string) => {
    const response = await frame.app.inject({ url: '/', headers: { 'x-request-id': given } })
    expect(response.json().requestId).toBe(response.headers['x-request-id'])
    return response.headers['x-request-id']
  }
  expect(await idFor('trace-1.a:b_c')).toBe('trace-1.a:b_c')
  for (const bad of ['', 'a b', 'x"y', '{"a":1}', 'x'.repeat(65)]) {
    expect(await idFor(bad)).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/)
  }
})

test('a line of the log says what was asked and how it went, and holds no secret', async () => {
  const { log, lines, text } = createLogLines()
  await using frame = await createTestFrame(async (app) => {
    app.post('/things/:id', async () => ({ value: 'in the answer' }))
  }, log)
  await frame.app.inject({
    method: 'POST',
    url: '/things/1?token=in-the-query',
    headers: { authorization: 'Bearer in-the-header', cookie: 'a=in-the-cookie' },
    payload: { env: { KEY: 'in-the-body' } },
  })
  await frame.inFlight.untilNone()
  expect(lines.filter(({ msg }) => msg === 'request')).toEqual([
    expect.objectContaining({
      requestId: expect.any(String),
      method: 'POST',
      path: '/things/1',
      route: '/things/:id',
      status: 200,
      durationMs: expect.any(Number),
    }),
  ])
  expect(text()).not.toMatch(/in-the-|in the answer/)
})

test('of proxied calls that succeed one in a thousand is logged, and each that fails', async () => {
  const { log, lines } = createLogLines()
  await using frame = await createTestFrame(async (app) => {
    const config = { proxied: true }
    app.get('/fine', { config }, (_request, reply) => {
      reply.hijack()
      reply.raw.end('fine')
    })
    app.get('/fails', { config }, async () => {
      throw new Error('unexpected')
    })
  }, log)
  for (let call = 0; call < 1_500; call++) await frame.app.inject('/fine')
  for (let call = 0; call < 3; call++) await frame.app.inject('/fails')
  await frame.inFlight.untilNone()
  const routes = lines.filter(({ msg }) => msg === 'request').map(({ route }) => route)
  expect(routes).toEqual(['/fine', '/fine', '/fails', '/fails', '/fails'])
})

test('metrics count by route, never by what a client made up', async () => {
  await using frame = await createTestFrame(async (app) => {
    app.get('/things/:id', async () => ({}))
  })
  for (const id of ['one', 'two', 'three']) await frame.app.inject(`/things/${id}`)
  for (const path of ['/made-up-1', '/made-up-2']) await frame.app.inject({ method: 'PUT', url: path })
  await frame.inFlight.untilNone()
  const text = await frame.metrics.registry.metrics()
  const counts = text.split('\n').filter((line) => line.startsWith('atoll_http_request_duration_seconds_count'))
  expect(counts.sort()).toEqual([
    'atoll_http_request_duration_seconds_count{method="GET",route="/things/:id",status="200"} 3',
    'atoll_http_request_duration_seconds_count{method="any",route="unmatched",status="404"} 2',
  ])
})

test('a call whose client has gone is counted as such and no longer as under way', async () => {
  await using frame = await createTestFrame(async (app) => {
    app.get('/slow', (_request, reply) => {
      reply.hijack()
      reply.raw.write('some')
    })
  })
  const answer = await fetch(`http://127.0.0.1:${await listen(frame)}/slow`)
  expect(frame.inFlight.count).toBe(1)
  await answer.body?.cancel()
  await frame.inFlight.untilNone()
  expect(await frame.metrics.registry.metrics()).toContain('atoll_http_requests_aborted_total{route="/slow"} 1')
})

test('a transfer has no time limit, while headers have one', async () => {
  await using frame = await createTestFrame(async () => undefined)
  const { server } = frame.app
  expect([server.requestTimeout, server.timeout]).toEqual([0, 0])
  expect(server.headersTimeout).toBe(20_000)
  expect(server.keepAliveTimeout).toBe(75_000)
})

async function listen(frame: TestFrame): Promise<number> {
  await frame.app.listen({ port: 0, host: '127.0.0.1' })
  return (frame.app.server.address() as AddressInfo).port
}
