import { randomUUID } from 'node:crypto'
import { AppError } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import type { FastifyPluginAsync, InjectOptions } from 'fastify'
import { expect, test } from 'vitest'
import { generateApiKey } from '../api-keys/api-key.ts'
import { createHttpServer } from '../http/http-server.ts'
import { createTestApi } from '../testing/test-api.ts'
import { authenticated } from './auth-hook.ts'
import { createAuthorizer, requireAccess } from './authorizer.ts'
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

const authorizer = createAuthorizer({ findMembership: async () => undefined })

/** An access token like those of our own sign-in, except for the signature. */
const UNSIGNED = [{ alg: 'none' }, { iss: 'urn:atoll:sign-in', aud: 'atoll', sub: 'ada', exp: 4_102_444_800 }, {}]
  .map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'))
  .join('.')

/**
 * The routes that need no credential. Every other route must refuse with 401, whatever the request holds. Every path
 * answers OPTIONS before any handler: browsers ask without a credential.
 */
const PUBLIC = [
  /^GET \/api\/health(\/ready)?$/,
  /^GET \/api\/config$/,
  /^GET \/api\/audit\/scenarios$/,
  /^GET \/api\/shared-regions$/,
  // Routes by which a preview proxy asks about visitors: each names a token, or returns what is public.
  /^GET \/api\/preview\/:sandboxId\/(public|preview-warning|validate\/:authToken)$/,
  /^GET \/api\/preview\/:signedPreviewToken\/:port\/sandbox-id$/,
  /^POST \/api\/auth\/(sign-in|refresh|sign-out)$/,
  /^GET \/api\/auth\/jwks\.json$/,
  /^GET \/metrics$/,
  /^GET \/api\/docs(\/.*)?$/,
  /^OPTIONS /,
]

/** Accepts only signed requests, and refuses others as S3 does. */
const SIGNED = /^\w+ \/api\/s3\//

test('every route but the few public ones refuses a caller without credential', async () => {
  await using api = await createTestApi()
  expect(api.routes.length).toBeGreaterThan(PUBLIC.length)
  const open: string[] = []
  for (const { method, url } of api.routes) {
    const name = `${method.replace('HEAD', 'GET')} ${url}`
    if (PUBLIC.some((pattern) => pattern.test(name))) continue
    const path = url.replaceAll(/:\w+|\*/g, 'x')
    const statuses = await Promise.all(hostileRequests(method, path).map((request) => api.app.inject(request)))
    const refusal = SIGNED.test(name) ? 403 : 401
    if (statuses.some(({ statusCode }) => statusCode !== refusal)) open.push(name)
  }
  expect(open).toEqual([])
})

test('the public routes are reachable without a credential', async () => {
  await using api = await createTestApi()
  const urls = ['/api/health', '/api/health/ready', '/api/config', '/metrics', '/api/docs/json', '/api/auth/jwks.json']
  for (const url of urls) {
    expect((await api.app.inject(url)).statusCode).toBe(200)
  }
})

test('who tries many keys is told with 429 when to come back, and is not kept from public routes', async () => {
  await using api = await createTestApi()
  const { headers } = await api.createPrincipal()
  const ask = (authorization: string, url = '/api/users/me') => api.app.inject({ url, headers: { authorization } })
  expect((await ask(headers.authorization)).statusCode).toBe(200)
  // All calls come at once, so that tries given back over time do not matter.
  await Promise.all(Array.from({ length: 400 }, () => ask(`Bearer ${generateApiKey()}`)))
  const limited = await ask(`Bearer ${generateApiKey()}`)
  expect(limited.headers).toMatchObject({
    'retry-after': expect.stringMatching(/^\d+$/),
    'x-ratelimit-limit-failed-auth': '100',
    'x-ratelimit-remaining-failed-auth': '0',
    'x-ratelimit-reset-failed-auth': expect.stringMatching(/^\d+$/),
  })
  expect(limited.json()).toMatchObject({ statusCode: 429, code: 'RATE_LIMITED', error: 'Too Many Requests' })
  expect((await ask(headers.authorization)).statusCode).toBe(200)
  expect((await ask('', '/api/config')).statusCode).toBe(200)
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

test('a route of the scope that does not say who has access keeps the API from starting', async () => {
  const app = createHttpServer({ log: createLogger('test', 'silent'), now: Date.now })
  const scope: FastifyPluginAsync = async (scope) => {
    await scope.register(authenticated, {
      authenticator: { authenticate: () => Promise.resolve(holder) },
      authorizer,
    })
    expect(() => scope.get('/forgotten', async () => 'hello')).toThrow('GET /forgotten does not declare who has access')
  }
  await app.register(scope)
})

test.each(permissions)('%s must be in the list of the key, even for an owner', (permission) => {
  const others = permissions.filter((other) => other !== permission)
  const refused = () => requireAccess({ ...holder, permissions: new Set(others) }, permission)
  expect(refused).toThrow(expect.objectContaining({ code: 'FORBIDDEN' }))
  expect(() => requireAccess({ ...holder, permissions: new Set([permission]) }, permission)).not.toThrow()
})

test('membership is met by every key, and an administrator may do everything', () => {
  const nothing = { ...holder, permissions: new Set<never>() }
  expect(() => requireAccess(nothing, 'membership')).not.toThrow()
  for (const permission of permissions) {
    expect(() => requireAccess({ ...nothing, systemRole: 'admin' }, permission)).not.toThrow()
  }
})

function hostileRequests(method: string, url: string): InjectOptions[] {
  const request = { method, url } as InjectOptions
  const unknown = { authorization: `Bearer dtn_${'0'.repeat(64)}` }
  const unsigned = { authorization: `Bearer ${UNSIGNED}` }
  const withBody = { ...request, headers: { 'content-type': 'application/json' }, payload: '{broken' }
  const both = [unknown, unsigned].map((headers) => ({ ...request, headers }))
  return [request, ...both, ...(method === 'GET' || method === 'HEAD' ? [] : [withBody])]
}

/** Creates a server with one authenticated scope, for which only `Bearer good` is a valid credential. */
async function scopeOf(principal: Principal) {
  const app = createHttpServer({ log: createLogger('test', 'silent'), now: Date.now })
  const authenticate = async (authorization: string | undefined) => {
    if (authorization === 'Bearer good') return principal
    throw new AppError('UNAUTHORIZED', 'Unauthorized')
  }
  const scope: FastifyPluginAsync = async (scope) => {
    await scope.register(authenticated, { authenticator: { authenticate }, authorizer })
    scope.get('/read', { config: { access: 'membership' } }, async ({ principal: { organizationId } }) => ({
      organizationId,
    }))
    scope.post('/write', { config: { access: 'write:sandboxes' } }, async () => ({}))
  }
  await app.register(scope)
  return app
}
