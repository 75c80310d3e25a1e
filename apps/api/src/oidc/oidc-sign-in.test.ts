import type { JWK, JWTPayload } from 'jose'
import { decodeJwt, exportSPKI, importJWK, SignJWT } from 'jose'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { OidcServer } from '../testing/oidc-server.ts'
import { createOidcServer, OIDC_AUDIENCE, OIDC_CLIENT_ID } from '../testing/oidc-server.ts'
import type { TestApi } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

const ADA = { sub: 'oidc|ada', name: 'Ada', email: 'ada@example.org', email_verified: true }

let oidc: OidcServer
let api: TestApi

beforeEach(async () => {
  oidc = await createOidcServer()
  const main = { name: 'main', displayName: 'Main', issuer: oidc.issuer, clientId: OIDC_CLIENT_ID }
  api = await createTestApi({ config: { oidcProviders: [{ ...main, audience: OIDC_AUDIENCE }] } })
})
afterEach(async () => {
  vi.useRealTimers()
  await api[Symbol.asyncDispose]()
  await oidc[Symbol.asyncDispose]()
})

test('who signs in at the provider is a user here, with an organization of their own', async () => {
  const token = await oidc.signIn(ADA)
  const me = await ask('/users/me', token)
  expect(me.statusCode).toBe(200)
  expect(me.json()).toMatchObject({ id: ADA.sub, name: 'Ada', email: ADA.email, emailVerified: true })
  const [organization] = await api.database.sql`select id, name, personal, suspended from organizations`
  expect(organization).toMatchObject({ name: 'Personal', personal: true, suspended: false })
  const headers = { 'x-daytona-organization-id': String(organization?.['id']) }
  expect((await ask('/sandbox', token, headers)).statusCode).toBe(200)
  expect((await ask('/sandbox', token)).statusCode).toBe(403)
  expect((await ask('/users', token)).statusCode).toBe(403)
})

test('calls that come at once at first sight make one user', async () => {
  const token = await oidc.signIn(ADA)
  const answers = await Promise.all(Array.from({ length: 10 }, () => ask('/users/me', token)))
  expect(answers.map(({ statusCode }) => statusCode)).toEqual(Array.from({ length: 10 }, () => 200))
  expect(await api.database.sql`select id from organizations`).toHaveLength(1)
})

test('a program with client credentials is a user without a known email, whose organization is suspended', async () => {
  const me = await ask('/users/me', await oidc.machineToken())
  expect(me.json()).toMatchObject({ id: 'machine', name: 'Unknown', email: '', emailVerified: false })
  const [organization] = await api.database.sql`select suspended, suspension_reason from organizations`
  expect(organization).toEqual({ suspended: true, suspension_reason: 'Verify your email address' })
})

test('an unverified email suspends the organization until it is verified', async () => {
  const suspended = async () => (await api.database.sql`select suspended from organizations`)[0]?.['suspended']
  await ask('/users/me', await oidc.signIn({ ...ADA, email_verified: false }))
  expect(await suspended()).toBe(true)
  expect((await ask('/users/me', await oidc.signIn(ADA))).json()).toMatchObject({ emailVerified: true })
  expect(await suspended()).toBe(false)
})

test('a user whom an administrator made beforehand is the same', async () => {
  const admin = await api.createPrincipal({ systemRole: 'admin' })
  const payload = { id: ADA.sub, name: 'The countess', role: 'admin' }
  await api.app.inject({ method: 'POST', url: '/api/users', headers: admin.headers, payload })
  const token = await oidc.signIn(ADA)
  expect((await ask('/users/me', token)).json()).toMatchObject({ id: ADA.sub, name: 'The countess' })
  expect((await ask('/users', token)).statusCode).toBe(200)
})

test('the provider may change its keys', async () => {
  expect((await ask('/users/me', await oidc.signIn(ADA))).statusCode).toBe(200)
  await oidc.rotate()
  // A key set that was just fetched is not fetched again for 30 s.
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 31_000 })
  expect((await ask('/users/me', await oidc.signIn(ADA))).statusCode).toBe(200)
})

test('a token that is known stays good while the provider is down, and new ones are told so', async () => {
  const token = await oidc.signIn(ADA)
  const other = await oidc.machineToken()
  const key = await api.createPrincipal()
  expect((await ask('/users/me', token)).statusCode).toBe(200)
  await using fresh = await createTestApi({ config: api.config })
  await oidc[Symbol.asyncDispose]()
  oidc = await createOidcServer()
  await api.database.sql`update users set role = 'admin' where id = ${ADA.sub}`
  await until('the change counts', async () => (await ask('/users', token)).statusCode === 200)
  const unknown = await fresh.app.inject({ url: '/api/users/me', headers: { authorization: `Bearer ${other}` } })
  expect(unknown.statusCode).toBe(503)
  expect((await ask('/users/me', key.apiKey)).statusCode).toBe(200)
  expect((await fresh.app.inject('/api/health')).statusCode).toBe(200)
})

test('a token that was not made for us, or not by the provider, is refused', async () => {
  const token = await oidc.signIn(ADA)
  const claims = decodeJwt(token)
  const [key] = oidc.keys
  if (key === undefined) throw new Error('the provider has no key')
  const now = Math.floor(Date.now() / 1000)
  const { exp: _exp, ...eternal } = claims
  const { aud: _aud, ...forNobody } = claims
  const { iss: _iss, ...fromNobody } = claims
  const { sub: _sub, ...nobody } = claims
  const [head, body, signature] = token.split('.')
  const unsigned = `${Buffer.from(JSON.stringify({ alg: 'none', kid: key.kid })).toString('base64url')}.${body}.`
  const publicKey = await importJWK({ kty: key.kty, n: key.n, e: key.e } as JWK, 'RS256', { extractable: true })
  if (publicKey instanceof Uint8Array) throw new Error('no public key')
  const secrets = [JSON.stringify({ kty: key.kty, n: key.n, e: key.e }), await exportSPKI(publicKey)]
  const hmac = (secret: string) =>
    new SignJWT(claims).setProtectedHeader({ alg: 'HS256', kid: String(key.kid) }).sign(Buffer.from(secret))
  const foreign = await createOidcServer()
  await using _ = foreign
  const forged: Record<string, string> = {
    'another audience': await signed(key, { ...claims, aud: 'https://other.example.org' }),
    'no audience': await signed(key, forNobody),
    'another issuer': await signed(key, { ...claims, iss: 'https://other.example.org' }),
    'no issuer': await signed(key, fromNobody),
    'a foreign provider': await foreign.signIn(ADA),
    'a foreign key': await signed({ ...(foreign.keys[0] as JWK), kid: String(key.kid) }, claims),
    'an unknown key': await signed({ ...(foreign.keys[0] as JWK), kid: 'unknown' }, claims),
    expired: await signed(key, { ...claims, exp: now - 61 }),
    'long expired': await signed(key, { ...claims, exp: now - 3600 }),
    'not yet': await signed(key, { ...claims, nbf: now + 120 }),
    'no expiry': await signed(key, eternal),
    'no subject': await signed(key, nobody),
    'a subject that cannot be stored': await signed(key, { ...claims, sub: 'a\0b' }),
    'a long subject': await signed(key, { ...claims, sub: 'x'.repeat(256) }),
    'alg none': unsigned,
    'the public key as a secret, as JSON': await hmac(secrets[0] ?? ''),
    'the public key as a secret, in PEM': await hmac(secrets[1] ?? ''),
    'an altered body': `${head}.${Buffer.from(JSON.stringify({ ...claims, sub: 'eve' })).toString('base64url')}.${signature}`,
  }
  for (const [name, credential] of Object.entries(forged)) {
    expect({ name, status: (await ask('/users/me', credential)).statusCode }).toEqual({ name, status: 401 })
  }
  expect(await api.database.sql`select id from users`).toHaveLength(0)
  expect((await ask('/users/me', token)).statusCode).toBe(200)
})

test('clocks may differ by a minute', async () => {
  const claims = decodeJwt(await oidc.signIn(ADA))
  const [key] = oidc.keys
  const now = Math.floor(Date.now() / 1000)
  const token = await signed(key as JWK, { ...claims, exp: now - 20, nbf: now + 20 })
  expect((await ask('/users/me', token)).statusCode).toBe(200)
})

test('clients are told where to sign in', async () => {
  const config = (await api.app.inject('/api/config')).json()
  expect(config).toMatchObject({
    oidc: { issuer: oidc.issuer, clientId: OIDC_CLIENT_ID, audience: OIDC_AUDIENCE },
    linkedAccountsEnabled: true,
  })
})

function ask(path: string, token: string, headers: Record<string, string> = {}) {
  return api.app.inject({ url: `/api${path}`, headers: { authorization: `Bearer ${token}`, ...headers } })
}

async function signed(key: JWK, claims: JWTPayload): Promise<string> {
  const header = { alg: 'RS256', kid: String(key.kid) }
  return await new SignJWT(claims).setProtectedHeader(header).sign(await importJWK(key, 'RS256'))
}
