import { randomUUID } from 'node:crypto'
import type { Organization } from '@atoll/protocol'
import { generateApiKey, hashApiKey, shownParts } from '../api-keys/api-key.ts'
import { createApiKeyStore } from '../api-keys/api-key-store.ts'
import type { Permission } from '../auth/permission.ts'
import { permissions } from '../auth/permission.ts'
import type { TestApi, TestPrincipal } from './test-api.ts'
import { createTestApi } from './test-api.ts'

export interface InjectedAnswer {
  status: number
  /** Parsed when it is JSON. */
  body: unknown
}

/** The whole API, not listening, with users in organizations. */
export interface OrganizationWorld extends AsyncDisposable {
  readonly api: TestApi
  call(method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE', path: string, options: CallOptions): Promise<InjectedAnswer>
  /** Creates a user with a personal organization and a key of it. */
  createUser(options?: { email?: string; systemRole?: 'admin' | 'user' }): Promise<TestPrincipal>
  /** Creates an organization that is not personal, and returns a key of it for its owner. */
  createOrganization(owner: TestPrincipal): Promise<TestPrincipal>
  /** Creates a key of a user in an organization to which the user belongs by now. */
  keyIn(organizationId: string, userId: string, allowed?: readonly Permission[]): Promise<TestPrincipal>
  /** Adds the user to the organization, and returns a key of the user in it. */
  join(organizationId: string, user: TestPrincipal, role: 'owner' | 'member'): Promise<TestPrincipal>
}

export interface CallOptions {
  as: TestPrincipal
  body?: unknown
}

/** Creates a world. The caller disposes it. */
export async function createOrganizationWorld(): Promise<OrganizationWorld> {
  const api = await createTestApi()
  const { db, sql } = api.database
  const keyIn: OrganizationWorld['keyIn'] = async (organizationId, userId, allowed = permissions) => {
    const apiKey = generateApiKey()
    await createApiKeyStore(db).insert({
      ...{ organizationId, userId, name: randomUUID(), permissions: [...allowed] },
      ...{ keyHash: hashApiKey(apiKey), ...shownParts(apiKey) },
    })
    return { apiKey, userId, organizationId, headers: { authorization: `Bearer ${apiKey}` } }
  }
  const call: OrganizationWorld['call'] = async (method, path, { as, body }) => {
    const json = body === undefined ? {} : { payload: JSON.stringify(body) }
    const headers = { ...as.headers, 'content-type': 'application/json' }
    const answer = await api.app.inject({ method, url: `/api${path}`, headers, ...json })
    return { status: answer.statusCode, body: answer.body === '' ? '' : answer.json() }
  }
  return {
    api,
    call,
    keyIn,
    async createUser({ email, systemRole = 'user' } = {}) {
      const user = await api.createPrincipal({ systemRole })
      await sql`update users set email = ${email ?? `${user.userId}@example.org`} where id = ${user.userId}`
      return user
    },
    async createOrganization(owner) {
      const { status, body } = await call('POST', '/organizations', { as: owner, body: { name: 'Reef' } })
      if (status !== 201) throw new Error(`status ${status}: ${JSON.stringify(body)}`)
      return await keyIn((body as Organization).id, owner.userId)
    },
    async join(organizationId, { userId }, role) {
      await sql`insert into organization_users (organization_id, user_id, role)
        values (${organizationId}, ${userId}, ${role})`
      return await keyIn(organizationId, userId)
    },
    [Symbol.asyncDispose]: () => api[Symbol.asyncDispose](),
  }
}
