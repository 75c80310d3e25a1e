import type { AuditLogLine, AuditLogPage } from '@atoll/protocol'
import { SignedIn } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify, SignJWT } from 'jose'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Api } from '../app.ts'
import { createApi } from '../app.ts'
import type { TestApi, TestPrincipal } from '../testing/test-api.ts'
import { createTestApi } from '../testing/test-api.ts'
import { until } from '../testing/until.ts'

const PASSWORD = 'correct horse battery'
const LOGIN = 'ada@example.org'

let api: TestApi
let admin: TestPrincipal
let user: TestPrincipal

beforeEach(async () => {
  api = await createTestApi()
  admin = await api.createPrincipal({ systemRole: 'admin' })
  user = await api.createPrincipal()
  expect((await setPassword({ password: PASSWORD, login: LOGIN })).statusCode).toBe(204)
})
afterEach(() => api[Symbol.asyncDispose]())

test('a password gives a token that works as a key does, for the organization that the header names', async () => {
  const answer = await signIn()
  expect(answer.statusCode).toBe(200)
  expect(answer.headers['cache-control']).toBe('no-store')
  expect(Value.Check(SignedIn, answer.json())).toBe(true)
  const { accessToken, expiresIn, userId } = answer.json<SignedIn>()
  expect({ expiresIn, userId }).toEqual({ expiresIn: 900, userId: user.userId })
  expect((await ask('/users/me', accessToken)).json()).toMatchObject({ id: user.userId })
  expect((await ask('/sandbox', accessToken)).statusCode).toBe(403)
  const inMine = { 'x-daytona-organization-id': user.organizationId }
  expect((await ask('/sandbox', accessToken, inMine)).statusCode).toBe(200)
  const inTheirs = { 'x-daytona-organization-id': admin.organizationId }
  expect((await ask('/sandbox', accessToken, inTheirs)).statusCode).toBe(403)
  expect((await ask('/users', accessToken)).statusCode).toBe(403)
  expect((await ask('/api-keys/current', accessToken, inMine)).statusCode).toBe(403)
})

test('a login differs neither by case nor by blanks around it', async () => {
  expect((await signIn({ login: ' ADA@example.org ' })).statusCode).toBe(200)
})

test.each([
  ['a wrong password', { password: 'correct horse' }],
  ['an unknown login', { login: 'nobody' }],
  ['a very long password', { password: 'x'.repeat(1024) }],
  ['the hash of nothing', { password: '' }],
])('%s is refused, always with the same words', async (_name, given) => {
  const answer = await signIn(given)
  expect(answer.statusCode).toBe(401)
  expect(answer.json()).toMatchObject({ code: 'UNAUTHORIZED', message: 'Wrong login or password' })
})

test('the published keys verify a token', async () => {
  const { accessToken } = (await signIn()).json<SignedIn>()
  const published = (await api.app.inject('/api/auth/jwks.json')).json()
  const { payload } = await jwtVerify(accessToken, createLocalJWKSet(published), { audience: 'atoll' })
  expect(payload).toMatchObject({ sub: user.userId, sid: expect.any(String) })
  expect(JSON.stringify(published)).not.toMatch(/"(d|p|q|dp|dq|qi)":/)
  const stored = await api.database.sql`select * from signing_keys`
  expect(JSON.stringify(stored)).not.toContain('PRIVATE KEY')
})

test('a refresh token is good once; who uses it again ends the sign-in for everybody', async () => {
  const first = (await signIn()).json<SignedIn>()
  const refreshed = await refresh(first.refreshToken)
  expect(refreshed.statusCode).toBe(200)
  const second = refreshed.json<SignedIn>()
  expect((await ask('/users/me', second.accessToken)).statusCode).toBe(200)
  expect((await refresh(first.refreshToken)).statusCode).toBe(401)
  expect((await refresh(second.refreshToken)).statusCode).toBe(401)
  await until(
    'its access token is refused',
    async () => (await ask('/users/me', second.accessToken)).statusCode === 401,
  )
})

test('of many refreshes at once with one token one succeeds at most', async () => {
  const { refreshToken } = (await signIn()).json<SignedIn>()
  const answers = await Promise.all(Array.from({ length: 10 }, () => refresh(refreshToken)))
  expect(answers.filter(({ statusCode }) => statusCode === 200).length).toBeLessThanOrEqual(1)
})

test('signing out ends access tokens on every replica, and that sign-in only', async () => {
  await using other = await createReplica()
  const mine = (await signIn()).json<SignedIn>()
  const kept = (await signIn()).json<SignedIn>()
  const onOther = (token: string) =>
    other.app.inject({ url: '/api/users/me', headers: { authorization: `Bearer ${token}` } })
  expect((await onOther(mine.accessToken)).statusCode).toBe(200)
  expect((await onOther(kept.accessToken)).statusCode).toBe(200)
  expect((await post('/auth/sign-out', { refreshToken: mine.refreshToken })).statusCode).toBe(204)
  await until('the other refuses it', async () => (await onOther(mine.accessToken)).statusCode === 401)
  expect((await refresh(mine.refreshToken)).statusCode).toBe(401)
  expect((await onOther(kept.accessToken)).statusCode).toBe(200)
  expect((await post('/auth/sign-out', { refreshToken: 'nonsense' })).statusCode).toBe(204)
})

test('replicas sign with the same key, and a second one is made when the first gets old', async () => {
  await using other = await createReplica()
  const kid = (token: string) => decodeProtectedHeader(token).kid
  const tokens = await Promise.all([signIn(), signIn({}, other), signIn({}, other), signIn()])
  expect(new Set(tokens.map((answer) => kid(answer.json<SignedIn>().accessToken))).size).toBe(1)
  const old = tokens[0]?.json<SignedIn>() ?? expect.fail('no sign-in')
  await api.database.sql`update signing_keys set created_at = now() - interval '30 days 1 hour'`
  await using fresh = await createReplica()
  const renewed = (await signIn({}, fresh)).json<SignedIn>()
  expect(kid(renewed.accessToken)).not.toBe(kid(old.accessToken))
  for (const { accessToken } of [old, renewed]) {
    const answer = await fresh.app.inject({
      url: '/api/users/me',
      headers: { authorization: `Bearer ${accessToken}` },
    })
    expect(answer.statusCode).toBe(200)
  }
})

test('a token that we did not sign so is refused', async () => {
  const { accessToken } = (await signIn()).json<SignedIn>()
  const { kid } = decodeProtectedHeader(accessToken)
  const claims = decodeJwt(accessToken)
  const [head, body, signature] = accessToken.split('.')
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const hmac = await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', kid: String(kid) })
    .sign(Buffer.from(JSON.stringify((await api.app.inject('/api/auth/jwks.json')).json().keys[0])))
  const forged = [
    `${encode({ alg: 'none', kid })}.${body}.`,
    `${head}.${encode({ ...claims, sub: admin.userId })}.${signature}`,
    `${head}.${body}.${signature?.slice(0, -4)}AAAA`,
    `${encode({ alg: 'RS256', kid: 'other' })}.${body}.${signature}`,
    `${encode({ alg: 'RS256' })}.${body}.${signature}`,
    hmac,
    `${head}.${body}.`,
    'a.b.c',
    '..',
  ]
  for (const token of forged) expect((await ask('/users/me', token)).statusCode).toBe(401)
})

test('a user who is deleted or made an administrator is that at once', async () => {
  const { accessToken } = (await signIn()).json<SignedIn>()
  expect((await ask('/users', accessToken)).statusCode).toBe(403)
  await api.database.sql`update users set role = 'admin' where id = ${user.userId}`
  await until('the role counts', async () => (await ask('/users', accessToken)).statusCode === 200)
  await api.database.sql`delete from sign_ins`
  await until('the end counts', async () => (await ask('/users', accessToken)).statusCode === 401)
})

test('guessing the password of one login is stopped, for that login', async () => {
  const guesses = await Promise.all(Array.from({ length: 14 }, () => signIn({ password: 'wrong' })))
  const refused = guesses.filter(({ statusCode }) => statusCode === 429)
  expect(refused.length).toBe(4)
  expect(refused[0]?.headers).toMatchObject({
    'retry-after': expect.stringMatching(/^\d+$/),
    'x-ratelimit-limit-sign-in': '10',
    'x-ratelimit-remaining-sign-in': '0',
  })
  expect((await signIn()).statusCode).toBe(429)
  await setPassword({ password: PASSWORD, login: 'grace' }, admin.userId)
  expect((await signIn({ login: 'grace' })).statusCode).toBe(200)
  await api.database.sql`update rate_limits set expire = 0`
  expect((await signIn()).statusCode).toBe(200)
})

test('a right password gives back the tries that wrong ones took', async () => {
  for (let round = 0; round < 2; round++) {
    for (let guess = 0; guess < 9; guess++) expect((await signIn({ password: 'wrong' })).statusCode).toBe(401)
    expect((await signIn()).statusCode).toBe(200)
  }
})

test('guessing from one address is stopped, for whatever logins', async () => {
  const guess = (index: number) => signIn({ login: `user-${index}`, password: 'wrong' })
  const statuses = (await Promise.all(Array.from({ length: 62 }, (_, index) => guess(index)))).map(
    ({ statusCode }) => statusCode,
  )
  expect(statuses.filter((status) => status === 429)).toHaveLength(2)
})

test('changing the password needs the current one and ends every sign-in', async () => {
  const { accessToken } = (await signIn()).json<SignedIn>()
  const headers = { authorization: `Bearer ${accessToken}` }
  const change = (payload: object) => api.app.inject({ method: 'PUT', url: '/api/auth/password', headers, payload })
  const next = 'a new long password'
  expect((await change({ currentPassword: 'wrong', password: next })).statusCode).toBe(403)
  expect((await change({ currentPassword: PASSWORD, password: 'short' })).statusCode).toBe(400)
  expect((await change({ currentPassword: PASSWORD, password: next })).statusCode).toBe(204)
  await until('the token is refused', async () => (await ask('/users/me', accessToken)).statusCode === 401)
  expect((await signIn()).statusCode).toBe(401)
  expect((await signIn({ password: next })).statusCode).toBe(200)
})

test('no sign-in with the former password outlives its change', async () => {
  await Promise.all([...Array.from({ length: 6 }, () => signIn()), setPassword({ password: 'a new long password' })])
  expect(await api.database.sql`select id from sign_ins`).toHaveLength(0)
})

test('of the sign-ins of one user the oldest end when there are too many', async () => {
  const oldest = (await signIn()).json<SignedIn>()
  await api.database.sql`
    insert into sign_ins (user_id, expires_at, created_at)
    select ${user.userId}, now() + interval '1 day', now() + interval '1 minute' from generate_series(1, 99)`
  const newest = (await signIn()).json<SignedIn>()
  await api.database.sql`update sign_ins set created_at = now() + interval '1 hour' where id = ${sid(newest)}`
  await signIn()
  const left = await api.database.sql`select id from sign_ins`
  expect(left).toHaveLength(100)
  expect(left.map(({ id }) => id)).not.toContain(sid(oldest))
  expect(left.map(({ id }) => id)).toContain(sid(newest))
})

test('only an administrator sets passwords of others, with logins that are nobody else’s', async () => {
  const set = (as: TestPrincipal) =>
    api.app.inject({
      method: 'PUT',
      url: `/api/auth/users/${admin.userId}/password`,
      headers: as.headers,
      payload: { password: PASSWORD },
    })
  expect((await set(user)).statusCode).toBe(403)
  expect((await set(admin)).statusCode).toBe(204)
  expect((await signIn({ login: admin.userId })).statusCode).toBe(200)
  expect((await setPassword({ password: PASSWORD, login: LOGIN }, admin.userId)).statusCode).toBe(409)
  expect((await setPassword({ password: PASSWORD }, 'nobody')).statusCode).toBe(404)
  expect((await setPassword({ password: PASSWORD, login: ' ' })).statusCode).toBe(400)
})

test('who signs in, fails to, signs out or changes a password is in the log of their own organization', async () => {
  const { refreshToken } = (await signIn()).json<SignedIn>()
  await signIn({ password: 'wrong' })
  await signIn({ login: 'nobody' })
  await post('/auth/sign-out', { refreshToken })
  await post('/auth/sign-out', { refreshToken })
  const { accessToken } = (await signIn()).json<SignedIn>()
  const headers = { authorization: `Bearer ${accessToken}` }
  const payload = { currentPassword: PASSWORD, password: 'a new long password' }
  await api.app.inject({ method: 'PUT', url: '/api/auth/password', headers, payload })
  const mine = { actorId: user.userId, targetType: 'user', targetId: user.userId, ipAddress: '127.0.0.1' }
  expect(await auditLines(5)).toMatchObject([
    { ...mine, action: 'change_password', statusCode: 204 },
    { ...mine, action: 'sign_in', statusCode: 200 },
    { ...mine, action: 'sign_out', statusCode: 204 },
    { ...mine, action: 'sign_in', statusCode: 401, errorMessage: 'Wrong login or password' },
    { ...mine, action: 'sign_in', statusCode: 200 },
  ])
  const written = JSON.stringify(await api.database.sql`select * from audit_logs`)
  for (const secret of [PASSWORD, payload.password, refreshToken, accessToken]) expect(written).not.toContain(secret)
})

test('a refresh token that is used again is in the log once, and no other refresh is', async () => {
  const first = (await signIn()).json<SignedIn>()
  await refresh(first.refreshToken)
  await refresh('atr_nonsense')
  for (let again = 0; again < 3; again++) expect((await refresh(first.refreshToken)).statusCode).toBe(401)
  expect(await auditLines(2)).toMatchObject([
    { action: 'reuse_refresh_token', actorId: user.userId, statusCode: 401 },
    { action: 'sign_in' },
  ])
})

test('a password that an administrator sets is in the log with whose it is', async () => {
  const lines = await auditLines(1, admin)
  expect(lines).toMatchObject([{ action: 'change_password', actorId: admin.userId, targetId: user.userId }])
})

/** Returns the audit log of the key's organization when it holds this many lines. */
async function auditLines(count: number, as = user): Promise<AuditLogLine[]> {
  const url = `/api/audit/organizations/${as.organizationId}`
  const lines = async () => (await api.app.inject({ url, headers: as.headers })).json<AuditLogPage>().items
  await expect.poll(async () => (await lines()).length).toBe(count)
  return await lines()
}

function sid({ accessToken }: SignedIn): string {
  return String(decodeJwt(accessToken)['sid'])
}

function createReplica(): Promise<Api> {
  const { config, secrets } = api
  return createApi({ config, secrets, address: api.database.address, log: createLogger('other', 'silent') })
}

function post(path: string, payload: object, on: Api = api) {
  return on.app.inject({ method: 'POST', url: `/api${path}`, payload })
}

function signIn(given: Partial<{ login: string; password: string }> = {}, on: Api = api) {
  return post('/auth/sign-in', { login: LOGIN, password: PASSWORD, ...given }, on)
}

function refresh(refreshToken: string) {
  return post('/auth/refresh', { refreshToken })
}

function ask(path: string, token: string, headers: Record<string, string> = {}) {
  return api.app.inject({ url: `/api${path}`, headers: { authorization: `Bearer ${token}`, ...headers } })
}

function setPassword(payload: object, userId = user.userId) {
  const url = `/api/auth/users/${userId}/password`
  return api.app.inject({ method: 'PUT', url, headers: admin.headers, payload })
}
