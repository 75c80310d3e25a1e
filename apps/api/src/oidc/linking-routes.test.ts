import { AccountProvider } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { OidcPerson, OidcServer } from '../testing/oidc-server.ts'
import { createOidcServer, OIDC_AUDIENCE, OIDC_CLIENT_ID } from '../testing/oidc-server.ts'
import type { TestApi } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

const ADA = { sub: 'main|ada', name: 'Ada', email: 'ada@example.org', email_verified: true }
const AT_OTHER = { ...ADA, sub: '17', email: 'ADA@example.org' }

let main: OidcServer
let other: OidcServer
let api: TestApi
let ada: string

beforeEach(async () => {
  ;[main, other] = await Promise.all([createOidcServer(), createOidcServer()])
  const provider = (name: string, { issuer }: OidcServer) => ({
    ...{ name, displayName: name, issuer, clientId: OIDC_CLIENT_ID, audience: OIDC_AUDIENCE },
  })
  api = await createTestApi({ config: { oidcProviders: [provider('main', main), provider('other', other)] } })
  ada = await main.signIn(ADA)
  await userOf(ada)
})
afterEach(async () => {
  await api[Symbol.asyncDispose]()
  await Promise.all([main[Symbol.asyncDispose](), other[Symbol.asyncDispose]()])
})

test('providers are listed with what the caller has', async () => {
  const answer = await call('GET', '/users/account-providers', ada)
  expect(Value.Check(Type.Array(AccountProvider), answer.json())).toBe(true)
  expect(answer.json()).toEqual([
    { name: 'main', provider: 'main', displayName: 'main', linked: true },
    { name: 'other', provider: 'other', displayName: 'other', linked: false },
  ])
})

test('an account with the same verified email, once seen, is linked by its id', async () => {
  const token = await other.signIn(AT_OTHER)
  const stranger = await userOf(token)
  expect(stranger).not.toBe(ADA.sub)
  expect(await link({ provider: 'other', userId: '17' })).toBe(204)
  await until('the account is hers', async () => (await userOf(token)) === ADA.sub)
  expect(await link({ provider: 'other', userId: '17' })).toBe(400)
  const roles = await api.database.sql`
    select o.personal, m.role from organizations o join organization_users m on m.organization_id = o.id
    where m.user_id = ${ADA.sub} order by o.personal`
  expect([...roles]).toEqual([
    { personal: false, role: 'owner' },
    { personal: true, role: 'owner' },
  ])
})

test('an account with another email is linked with one of its tokens', async () => {
  const token = await other.signIn({ sub: '18', name: 'Ada L.', email: 'lovelace@example.com', email_verified: true })
  expect(await link({ provider: 'other', userId: '18' })).toBe(403)
  expect(await link({ provider: 'other', userId: '19', token })).toBe(401)
  expect(await link({ provider: 'main', userId: '18', token })).toBe(401)
  expect(await link({ provider: 'other', userId: '18', token: 'nonsense' })).toBe(401)
  expect(await link({ provider: 'other', userId: '18', token })).toBe(204)
  expect(await userOf(token)).toBe(ADA.sub)
  expect((await call('GET', '/users/me', ada)).json()).toMatchObject({ name: 'Ada', email: ADA.email })
})

test.each<[string, OidcPerson | undefined]>([
  ['was never seen', undefined],
  ['has another email', { ...AT_OTHER, email: 'eve@example.org' }],
  ['has an unverified email', { ...AT_OTHER, email_verified: false }],
])('nobody takes an account that %s without its token', async (_name, person) => {
  if (person !== undefined) await userOf(await other.signIn(person))
  expect(await link({ provider: 'other', userId: '17' })).toBe(403)
})

test('an unverified caller links and unlinks nothing', async () => {
  const unverified = await other.signIn({ sub: '20', email: 'u@example.org', email_verified: false })
  expect(await link({ provider: 'main', userId: 'x', token: ada }, unverified)).toBe(403)
  expect((await call('DELETE', '/users/linked-accounts/other/20', unverified)).statusCode).toBe(403)
})

test('an API key links nothing, since it may do less than its user', async () => {
  const admin = await api.createPrincipal({ systemRole: 'admin' })
  expect(await link({ provider: 'main', userId: ADA.sub, token: ada }, admin.apiKey)).toBe(403)
})

test('an account is unlinked, but never the last way in', async () => {
  const token = await other.signIn(AT_OTHER)
  expect(await link({ provider: 'other', userId: '17', token })).toBe(204)
  const unlink = async (path: string) => (await call('DELETE', `/users/linked-accounts/${path}`, ada)).statusCode
  expect(await unlink('other/18')).toBe(404)
  expect(await unlink('nobody/17')).toBe(404)
  expect(await unlink('other/17')).toBe(204)
  await until('the account is nobody’s', async () => (await userOf(token)) !== ADA.sub)
  expect(await unlink(`main/${encodeURIComponent(ADA.sub)}`)).toBe(400)
})

test('an account that would come back by itself is not unlinked', async () => {
  const token = await other.signIn(AT_OTHER)
  expect(await link({ provider: 'other', userId: '17', token })).toBe(204)
  const path = `/users/linked-accounts/main/${encodeURIComponent(ADA.sub)}`
  const answer = await call('DELETE', path, token)
  // The answer must match the effect: an unlinked account must not be able to sign in.
  const stillIn = (await userOf(ada)) === ADA.sub
  expect({ status: answer.statusCode, stillIn }).toEqual({ status: 400, stillIn: true })
})

test('without a provider there is nothing to link', async () => {
  await using bare = await createTestApi()
  const { headers } = await bare.createPrincipal()
  const inject = (method: 'GET' | 'POST' | 'DELETE', url: string, payload?: object) =>
    bare.app.inject({ method, url: `/api/users/${url}`, headers, ...(payload ? { payload } : {}) })
  const answers = [
    await inject('GET', 'account-providers'),
    await inject('POST', 'linked-accounts', { provider: 'github', userId: '1' }),
    await inject('DELETE', 'linked-accounts/github/1'),
  ]
  for (const { statusCode } of answers) expect(statusCode).toBe(404)
})

function call(method: 'GET' | 'DELETE', path: string, token: string) {
  return api.app.inject({ method, url: `/api${path}`, headers: { authorization: `Bearer ${token}` } })
}

async function link(payload: object, token = ada): Promise<number> {
  const headers = { authorization: `Bearer ${token}` }
  return (await api.app.inject({ method: 'POST', url: '/api/users/linked-accounts', headers, payload })).statusCode
}

async function userOf(token: string): Promise<string> {
  return (await call('GET', '/users/me', token)).json().id
}
