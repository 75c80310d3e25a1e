import { randomBytes } from 'node:crypto'
import type { AuditLogPage } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import type { InjectOptions } from 'fastify'
import { expect, test } from 'vitest'
import { createLogLines } from '../testing/log-lines.ts'
import { createTestApi } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'
import { createHttpServer } from './http-server.ts'
import { createTrustedProxies } from './trusted-proxies.ts'

const PROXY = '10.0.0.1'
/** Far more wrong guesses than one address may make. */
const GUESSES = 300

test.each([
  ['a client behind a proxy', PROXY, '1.2.3.4', '1.2.3.4'],
  ['a client behind two proxies', PROXY, '1.2.3.4, 10.0.0.2', '1.2.3.4'],
  ['a client behind a proxy, who claims another address', PROXY, '6.6.6.6, 1.2.3.4', '1.2.3.4'],
  ['a client who claims that a trusted proxy was in front of theirs', PROXY, '6.6.6.6, 10.0.0.2, 1.2.3.4', '1.2.3.4'],
  ['a client without proxy, who claims to be behind one', '9.9.9.9', '1.2.3.4', '9.9.9.9'],
  ['a client without proxy, who claims to come through one', '9.9.9.9', '1.2.3.4, 10.0.0.1', '9.9.9.9'],
  ['a proxy itself', PROXY, undefined, PROXY],
  ['a proxy whose address is written as IPv6', '::ffff:10.0.0.1', '1.2.3.4', '1.2.3.4'],
  ['a client with IPv6', PROXY, '2001:db8::1', '2001:db8::1'],
])('%s counts by the right address', async (...[, remoteAddress, claimed, counts]) => {
  const proxies = createTrustedProxies(['10.0.0.0/30'])
  const app = createHttpServer({ log: createLogger('test', 'silent'), now: Date.now, proxies })
  app.get('/', async (request) => [request.ip, proxies.clientOf(request.raw)])
  const headers = claimed === undefined ? {} : { 'x-forwarded-for': claimed }
  expect((await app.inject({ url: '/', headers, remoteAddress })).json()).toEqual([counts, counts])
})

test('who comes over a Unix socket is no trusted proxy', () => {
  expect(createTrustedProxies(['127.0.0.1']).trusts(undefined)).toBe(false)
})

test('behind a trusted proxy limits, the audit log and the log tell clients apart', async () => {
  const { log, lines } = createLogLines()
  await using api = await createTestApi({ config: { trustedProxies: [PROXY] }, log })
  const { headers, organizationId } = await api.createPrincipal()
  const ask = (from: string, request: InjectOptions, remoteAddress = PROXY) =>
    api.app.inject({ ...request, headers: { ...request.headers, 'x-forwarded-for': from }, remoteAddress })
  const guess = async (from: string, remoteAddress?: string) => {
    const authorization = `Bearer dtn_${randomBytes(32).toString('hex')}`
    return (await ask(from, { url: '/api/sandbox', headers: { authorization } }, remoteAddress)).statusCode
  }
  // All guesses come at once, so that the limit refills less than is asked, however slow the machine.
  await Promise.all(Array.from({ length: GUESSES }, () => guess('1.1.1.1')))
  await until('one client is not listened to any more', async () => (await guess('1.1.1.1')) === 429)
  expect(await guess('2.2.2.2')).toBe(401)
  expect(await guess('1.1.1.1', '9.9.9.9')).toBe(401)

  await ask('2.2.2.2', { method: 'DELETE', url: '/api/sandbox/nowhere', headers })
  const page = async () => {
    const answer = await api.app.inject({ url: `/api/audit/organizations/${organizationId}`, headers })
    return answer.json<AuditLogPage>().items
  }
  await expect.poll(page).toMatchObject([{ action: 'delete', ipAddress: '2.2.2.2' }])
  expect(lines.find(({ method }) => method === 'DELETE')).toMatchObject({ ip: '2.2.2.2' })
})
