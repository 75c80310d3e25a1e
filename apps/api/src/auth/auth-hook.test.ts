import { randomUUID } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import type { FastifyPluginAsync, InjectOptions } from 'fastify'
import { expect, test } from 'vitest'
import { createHttpServer } from '../http/http-server.ts'
import { createTestApi } from '../testing/test-api.ts'
import { authenticated, requirePermission } from './auth-hook.ts'
import { permissions } from './permission.ts'
import type { Principal } from './principal.ts'

const holder: Principal = {
  kind: 'apiKey',
  apiKeyId: randomUUID(),
  userId: 'ada',
  organizationId: randomUUID(),
  role: 'owner',
  systemRole: 'user',
  permissions: new Set(['write:snapshots']),
}

/**
 * What may be called without a credential. All else must be refused with 401, whatever the request holds. OPTIONS
 * is answered for every path before any handler: a browser asks without credential.
 */
const PUBLIC = [/^GET \/api\/health$/, /^GET \/metrics$/, /^GET \/api\/docs(\/.*)?$/, /^OPTIONS /]

test('every route but the few public ones refuses a caller without credential', async () => {
  await using api = await createTestApi()
  expect(api.routes.length).toBeGreaterThan(PUBLIC.length)
  const open: string[] = []
  for (const { method, url } of api.routes) {
    const name = `${method.replace('HEAD', 'GET')} ${url}`
    if (PUBLIC.some((pattern) => pattern.test(name))) continue
    const path = url.replaceAll(/:\w+|\*/g, 'x')
    const statuses = await Promise.all(hostileRequests(method, path).map((request) => api.app.inject(request)))
    if (statuses.some(({ statusCode }) => statusCode !== 401)) open.push(name)
  }
  expect(open).toEqual([])
})

test('the public routes are reachable without a credential', async () => {
  await using api = await createTestApi()
  for (const url of ['/api/health', '/metrics', '/api/docs/json']) {
    expect((await api.app.inject(url)).statusCode).toBe(200)
  }
})

test('a route of the scope is reached with a credential only', async () => {
  const app = await scopeOf(holder)
  const refused = await app.inject('/read')
  expect(refused.statusCode).toBe(401)
  expect(refused.json()).toMatchObject({ statusCode: 401, code: 'UNAUTHORIZED', message: 'Unauthorized' })
  const answered = await app.inject({ url: '/read', headers: { authorization: 'Bearer good' } })
  expect(answered.json()).toEqual({ organizationId: holder.organizationId })
})

test("the key's own organization counts, whatever a header names", async () => {
  const app = await scopeOf(holder)
  const headers = { authorization: 'Bearer good', 'x-daytona-organization-id': randomUUID() }
  const response = await app.inject({ url: '/read', headers })
  expect(response.json()).toEqual({ organizationId: holder.organizationId })
})

test('a missing permission is 403, before the body is read', async () => {
  const app = await scopeOf(holder)
  const headers = { authorization: 'Bearer good', 'content-type': 'application/json' }
  const response = await app.inject({ method: 'POST', url: '/write', headers, payload: '{broken' })
  expect(response.statusCode).toBe(403)
  expect(response.json()).toMatchObject({ code: 'FORBIDDEN', message: expect.stringContaining('write:sandboxes') })
})

test('a route of the scope that declares no permission keeps the API from starting', async () => {
  const app = createHttpServer({ log: createLogger('test', 'silent'), now: Date.now })
  const scope: FastifyPluginAsync = async (scope) => {
    await scope.register(authenticated, { authenticator: { authenticate: () => Promise.resolve(holder) } })
    expect(() => scope.get('/forgotten', async () => 'hello')).toThrow('GET /forgotten declares no permission')
  }
  await app.register(scope)
})

test.each(permissions)('%s must be in the list of the key, even for an owner', (permission) => {
  const others = permissions.filter((other) => other !== permission)
  const refused = () => requirePermission({ ...holder, permissions: new Set(others) }, permission)
  expect(refused).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }))
  expect(() => requirePermission({ ...holder, permissions: new Set([permission]) }, permission)).not.toThrow()
})

test('membership is met by every key, and an administrator may do everything', () => {
  const nothing = { ...holder, permissions: new Set<never>() }
  expect(() => requirePermission(nothing, 'membership')).not.toThrow()
  for (const permission of permissions) {
    expect(() => requirePermission({ ...nothing, systemRole: 'admin' }, permission)).not.toThrow()
  }
})

function hostileRequests(method: string, url: string): InjectOptions[] {
  const request = { method, url } as InjectOptions
  const unknown = { authorization: `Bearer dtn_${'0'.repeat(64)}` }
  const withBody = { ...request, headers: { 'content-type': 'application/json' }, payload: '{broken' }
  return [request, { ...request, headers: unknown }, ...(method === 'GET' || method === 'HEAD' ? [] : [withBody])]
}

/** A server with one authenticated scope, for which only `Bearer good` is a credential. */
async function scopeOf(principal: Principal) {
  const app = createHttpServer({ log: createLogger('test', 'silent'), now: Date.now })
  const authenticate = async (authorization: string | undefined) => {
    if (authorization === 'Bearer good') return principal
    throw new AppError('UNAUTHORIZED', 'Unauthorized')
  }
  const scope: FastifyPluginAsync = async (scope) => {
    await scope.register(authenticated, { authenticator: { authenticate } })
    scope.get('/read', { config: { permission: 'membership' } }, async ({ principal: { organizationId } }) => ({
      organizationId,
    }))
    scope.post('/write', { config: { permission: 'write:sandboxes' } }, async () => ({}))
  }
  await app.register(scope)
  return app
}
