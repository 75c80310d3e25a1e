import { expect, test } from 'vitest'
import { createTestFrame } from '../testing/test-frame.ts'

async function frameWithRoutes() {
  return createTestFrame(async (app) => {
    app.get('/things/:id', async () => ({}))
    app.delete('/things/:id', async () => undefined)
    app.post('/things', async () => ({}))
    app.post('/proxy/*', { config: { proxied: true } }, async () => ({}))
  })
}

test('an unknown path is 404, whatever its body holds', async () => {
  await using frame = await frameWithRoutes()
  const headers = { 'content-type': 'application/json' }
  const response = await frame.app.inject({ method: 'POST', url: '/nothing?x=1', headers, payload: '{broken' })
  expect(response.statusCode).toBe(404)
  expect(response.json()).toMatchObject({ code: 'NOT_FOUND', message: 'Cannot POST /nothing', path: '/nothing' })
})

test('a known path with another method is 405 and says which there are', async () => {
  await using frame = await frameWithRoutes()
  const put = await frame.app.inject({ method: 'PUT', url: '/things/1', payload: '{broken' })
  expect(put.statusCode).toBe(405)
  expect(put.headers['allow']).toBe('DELETE, GET, HEAD')
  expect(put.json()).toMatchObject({ code: 'METHOD_NOT_ALLOWED', message: '/things/1 does not take PUT' })
  const get = await frame.app.inject('/proxy/a/b')
  expect([get.statusCode, get.headers['allow']]).toEqual([405, 'POST'])
})

test.each([
  ['a URL that is too long', `/things/${'a'.repeat(20_000)}`, 414, 'URI_TOO_LONG'],
  ['a part of the path that is too long', `/things/${'a'.repeat(5_000)}`, 414, 'URI_TOO_LONG'],
  ['a path that is not validly encoded', '/things/%E0%A4%A', 400, 'BAD_REQUEST'],
])('%s is refused with the body of every error', async (...[, url, status, code]) => {
  await using frame = await frameWithRoutes()
  const response = await frame.app.inject(url)
  expect(response.statusCode).toBe(status)
  expect(response.json()).toMatchObject({ statusCode: status, code, method: 'GET' })
})

test('a browser of any origin may ask and call, and reads errors too', async () => {
  await using frame = await frameWithRoutes()
  const origin = 'https://example.org'
  const preflight = await frame.app.inject({
    method: 'OPTIONS',
    url: '/things/1',
    headers: {
      origin,
      'access-control-request-method': 'DELETE',
      'access-control-request-headers': 'authorization,x-daytona-source',
    },
  })
  expect(preflight.statusCode).toBe(204)
  expect(preflight.headers).toMatchObject({
    'access-control-allow-origin': origin,
    'access-control-allow-credentials': 'true',
    'access-control-allow-methods': 'GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS',
    'access-control-allow-headers': 'authorization,x-daytona-source',
  })
  const missing = await frame.app.inject({ url: '/nothing', headers: { origin } })
  expect(missing.headers['access-control-allow-origin']).toBe(origin)
})
