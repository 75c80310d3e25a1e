import { randomUUID } from 'node:crypto'
import { Daytona } from '@daytonaio/sdk'
import * as april2025 from 'daytona-api-client-0-18'
import * as august2025 from 'daytona-api-client-0-23'
import * as newest from 'daytona-api-client-0-218'
import { Daytona as Daytona218 } from 'daytona-sdk-0-218'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { call, sharedSystem } from './testing/shared-system.ts'

const PASSWORD = 'correct horse battery'

interface SignedIn {
  accessToken: string
  refreshToken: string
}

const login = `ada-${randomUUID()}@example.org`
const userId = `oidc|${randomUUID()}`
/** The administrator's API key. */
let apiKey: string
let url: string

beforeAll(() => {
  ;({ apiKey, url } = sharedSystem())
})

describe('users, as clients of three generations see them', () => {
  it('an administrator makes one, who is listed and has a key pair', async () => {
    const users = new august2025.UsersApi(new august2025.Configuration(as(apiKey)))
    const { status } = await users.createUser({ id: userId, name: 'Ada', email: login, emailVerified: true })
    expect(status).toBe(201)
    await expect(users.createUser({ id: userId, name: 'Ada' })).rejects.toMatchObject({ response: { status: 409 } })
    expect((await users.getUser(userId)).data).toMatchObject({ id: userId, email: login })
    expect((await users.listUsers()).data).toContainEqual(expect.objectContaining({ id: userId, role: 'user' }))
    expect((await users.regenerateKeyPair(userId)).status).toBe(201)
    const [key] = (await users.getUser(userId)).data.publicKeys
    expect(key?.key).toContain('BEGIN PUBLIC KEY')
  })

  it('each generation knows who calls', async () => {
    const clients = [
      new april2025.UsersApi(new april2025.Configuration(as(apiKey))),
      new august2025.UsersApi(new august2025.Configuration(as(apiKey))),
      new newest.UsersApi(new newest.Configuration(as(apiKey))),
    ]
    for (const client of clients) {
      expect((await client.getAuthenticatedUser()).data).toMatchObject({ name: 'Administrator', email: '' })
    }
  })

  it('where no provider is configured there are no accounts to link', async () => {
    const users = new august2025.UsersApi(new august2025.Configuration(as(apiKey)))
    const notFound = { response: { status: 404 } }
    await expect(users.getAvailableAccountProviders()).rejects.toMatchObject(notFound)
    await expect(users.linkAccount({ provider: 'github', userId: '1' })).rejects.toMatchObject(notFound)
    await expect(users.unlinkAccount('github', '1')).rejects.toMatchObject(notFound)
  })
})

describe('API keys, as clients of three generations make them', () => {
  it('the oldest uses the older names of permissions', async () => {
    const keys = new april2025.ApiKeysApi(new april2025.Configuration(as(apiKey)))
    const name = `april/${randomUUID()}`
    const { status, data } = await keys.createApiKey({
      name,
      permissions: [april2025.CreateApiKeyPermissionsEnum.WRITE_IMAGES],
    })
    expect(status).toBe(201)
    const own = new april2025.ApiKeysApi(new april2025.Configuration(as(data.value)))
    expect((await own.getCurrentApiKey()).data).toMatchObject({ name, permissions: ['write:snapshots'] })
    expect((await keys.getApiKey(name)).data.value).toMatch(/^dtn\*{20}.{3}$/)
    expect((await keys.listApiKeys()).data.map((key) => key.name)).toContain(name)
    expect((await keys.deleteApiKey(name)).status).toBe(204)
    await expect(own.getCurrentApiKey()).rejects.toMatchObject({ response: { status: 401 } })
  })

  it('an SDK works with a key that expires later, and with one that has expired no more', async () => {
    const keys = new august2025.ApiKeysApi(new august2025.Configuration(as(apiKey)))
    const sdk = async (expiresAt: Date) => {
      const permissions = [august2025.CreateApiKeyPermissionsEnum.WRITE_SANDBOXES]
      const { data } = await keys.createApiKey({ name: `august-${randomUUID()}`, permissions, expiresAt })
      return new Daytona({ apiKey: data.value, apiUrl: `${url}/api`, target: 'us' })
    }
    expect(await (await sdk(new Date(Date.now() + 60_000))).list()).toBeInstanceOf(Array)
    await expect((await sdk(new Date(Date.now() - 60_000))).list()).rejects.toThrow('expired')
  })

  it('an owner deletes the key of a member', async () => {
    const keys = new newest.ApiKeysApi(new newest.Configuration(as(apiKey)))
    const name = `newest-${randomUUID()}`
    await keys.createApiKey({ name, permissions: [newest.CreateApiKeyPermissionsEnum.READ_VOLUMES] })
    const { userId: owner } = (await keys.getApiKey(name)).data
    expect((await keys.deleteApiKeyForUser(owner, name)).status).toBe(200)
    await expect(keys.getApiKey(name)).rejects.toMatchObject({ response: { status: 404 } })
  })
})

describe('signing in', () => {
  it('gives a token with which SDKs work, until the sign-out', async () => {
    const keys = new newest.ApiKeysApi(new newest.Configuration(as(apiKey)))
    const { userId: administrator, organizationId } = (await keys.getCurrentApiKey()).data
    const password = { password: PASSWORD, login: 'root' }
    expect(await put(`/auth/users/${administrator}/password`, apiKey, password)).toBe(204)
    const first = await post<SignedIn>('/auth/sign-in', password)
    const { accessToken, refreshToken } = await post<SignedIn>('/auth/refresh', first)
    const users = new newest.UsersApi(new newest.Configuration(as(accessToken)))
    expect((await users.getAuthenticatedUser()).data.id).toBe(administrator)

    if (organizationId === undefined) throw new Error('the key names no organization')
    const settings = { jwtToken: accessToken, organizationId, apiUrl: `${url}/api`, target: 'us' }
    const sandbox = await new Daytona(settings).create()
    expect((await sandbox.process.executeCommand('echo signed in')).result).toContain('signed in')
    await (await new Daytona218(settings).get(sandbox.id)).delete()

    const body = JSON.stringify({ refreshToken })
    expect((await call('/auth/sign-out', { method: 'POST', body })).status).toBe(204)
    await eventually('the token is refused', async () => {
      const refused = await users.getAuthenticatedUser().then(
        () => undefined,
        (error: { response?: { status: number } }) => error.response?.status,
      )
      return refused === 401
    })
  })

  it('wants the right password, and changes it for who knows it', async () => {
    expect(await put(`/auth/users/${encodeURIComponent(userId)}/password`, apiKey, { password: PASSWORD })).toBe(204)
    const { status } = await call('/auth/sign-in', {
      method: 'POST',
      body: JSON.stringify({ login, password: 'wrong' }),
    })
    expect(status).toBe(401)
    const { accessToken } = await post<SignedIn>('/auth/sign-in', { login, password: PASSWORD })
    const next = { currentPassword: PASSWORD, password: `${PASSWORD} two` }
    expect(await put('/auth/password', accessToken, next)).toBe(204)
    await post('/auth/sign-in', { login, password: next.password })
  })

  it('publishes the keys that verify its tokens', async () => {
    const keys = await (await fetch(`${url}/api/auth/jwks.json`)).json()
    expect(keys).toMatchObject({ keys: [{ kty: 'RSA', alg: 'RS256', use: 'sig' }] })
  })
})

/** Returns a generated client's settings, with a header because some operations of the oldest client set no credential. */
function as(credential: string) {
  const headers = { authorization: `Bearer ${credential}` }
  return { basePath: `${url}/api`, accessToken: credential, baseOptions: { headers } }
}

async function post<Answer>(path: string, body: object): Promise<Answer> {
  const answer = await fetch(`${url}/api${path}`, { method: 'POST', body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${path} answered ${answer.status}`)
  return (await answer.json()) as Answer
}

async function put(path: string, credential: string, body: object): Promise<number> {
  const headers = { authorization: `Bearer ${credential}` }
  return (await fetch(`${url}/api${path}`, { method: 'PUT', headers, body: JSON.stringify(body) })).status
}
