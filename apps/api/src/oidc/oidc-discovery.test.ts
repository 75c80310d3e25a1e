import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import { createLogger } from '@atoll/service'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createTestApi } from '../testing/test-api.ts'
import { createDiscovery } from './oidc-discovery.ts'

type Answer = (request: IncomingMessage, response: ServerResponse) => void

const log = createLogger('test', 'silent')
let issuer: string
/** The answers of the test's provider, by path. */
let answers: Record<string, Answer>
let asked: string[]
let end: () => Promise<void>

beforeEach(async () => {
  answers = {}
  asked = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? '')
    const answer = answers[request.url ?? '']
    if (answer === undefined) response.writeHead(404).end()
    else answer(request, response)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}/realm`
  end = async () => {
    server.closeAllConnections()
    await promisify(server.close.bind(server))()
  }
})
afterEach(() => end())

test.each<[string, () => Answer, RegExp]>([
  ['that is missing', () => (_, response) => response.writeHead(404).end(), /answered 404/],
  ['that redirects', () => (_, response) => response.writeHead(302, { location: '/x' }).end(), /answered 302/],
  ['that is no JSON', () => (_, response) => response.end('<html>'), /JSON/],
  ['of another issuer', () => json({ issuer: 'https://other.example.org', jwks_uri: `${issuer}/keys` }), /says to be/],
  ['without keys', () => json({ issuer }), /no valid discovery document/],
  ['with keys in a file', () => json({ issuer, jwks_uri: 'file:///etc/passwd' }), /no valid discovery document/],
  ['that does not end', () => (_, response) => response.end(' '.repeat(300 * 1024)), /more than 262144 bytes/],
])('a discovery document %s is refused', async (_name, answer, message) => {
  answers['/realm/.well-known/openid-configuration'] = answer()
  await expect(createDiscovery({ issuer, log, now: () => 0 })()).rejects.toThrow(message)
})

test('a provider that failed is asked again, but not at once', async () => {
  let now = 0
  const discovery = createDiscovery({ issuer, log, now: () => now })
  await expect(discovery()).rejects.toThrow('404')
  await expect(discovery()).rejects.toThrow('404')
  expect(asked).toHaveLength(1)
  answers['/realm/.well-known/openid-configuration'] = json({ issuer: `${issuer}/`, jwks_uri: `${issuer}/keys` })
  now = 5_000
  expect(await discovery()).toMatchObject({ issuer: `${issuer}/` })
  await discovery()
  expect(asked).toHaveLength(2)
})

test('what a provider said serves on when it cannot be asked again', async () => {
  let now = 0
  const discovery = createDiscovery({ issuer, log, now: () => now })
  answers['/realm/.well-known/openid-configuration'] = json({ issuer, jwks_uri: `${issuer}/keys` })
  const first = await discovery()
  answers = {}
  now = 24 * 60 * 60 * 1000
  expect(await discovery()).toBe(first)
  expect(asked).toHaveLength(2)
})

test('who a token says nothing about is asked for, at the provider', async () => {
  const { publicKey, privateKey } = await generateKeyPair('ES256')
  const keys = [{ ...(await exportJWK(publicKey)), kid: 'one' }]
  const endpoints = { issuer, jwks_uri: `${issuer}/keys`, userinfo_endpoint: `${issuer}/me` }
  answers['/realm/.well-known/openid-configuration'] = json(endpoints)
  answers['/realm/keys'] = json({ keys })
  answers['/realm/me'] = json({ sub: 'ada', name: 'Ada', email: 'ada@example.org', email_verified: 'true' })
  const token = (sub: string) =>
    new SignJWT({ sub, aud: 'atoll' })
      .setProtectedHeader({ alg: 'ES256', kid: 'one' })
      .setIssuer(issuer)
      .setExpirationTime('1h')
      .sign(privateKey)
  const provider = { name: 'main', displayName: 'Main', issuer, clientId: 'atoll', audience: 'atoll' }
  await using api = await createTestApi({ config: { oidcProviders: [provider] } })
  const me = async (bearer: string) =>
    (await api.app.inject({ url: '/api/users/me', headers: { authorization: `Bearer ${bearer}` } })).json()
  expect(await me(await token('ada'))).toMatchObject({ name: 'Ada', email: 'ada@example.org', emailVerified: true })
  // An answer about another subject is ignored.
  expect(await me(await token('eve'))).toMatchObject({ name: 'Unknown', email: '', emailVerified: false })
})

function json(value: object): Answer {
  return (_request, response) => {
    response.writeHead(200, { 'content-type': 'application/json' })
    response.end(JSON.stringify(value))
  }
}
