import { randomUUID } from 'node:crypto'
import { ApiKeysApi, Configuration, CreateApiKeyPermissionsEnum } from 'daytona-api-client-0-218'
import { clientSettings, organizations23 } from './api-clients.ts'
import { call } from './shared-system.ts'

const PASSWORD = 'correct horse battery'

/** A user who has signed in to the shared system. */
export interface Guest {
  userId: string
  email: string
  accessToken: string
}

/** Makes a user of the shared system, and signs them in. */
export async function signedIn(name: string): Promise<Guest> {
  const userId = randomUUID()
  const email = `${name.toLowerCase()}-${userId}@example.org`
  await send('POST', '/users', { id: userId, name, email, emailVerified: true })
  await send('PUT', `/auth/users/${userId}/password`, { password: PASSWORD })
  const answer = await send('POST', '/auth/sign-in', { login: email, password: PASSWORD })
  const { accessToken } = (await answer.json()) as { accessToken: string }
  return { userId, email, accessToken }
}

/** Makes an organization for this file alone, the personal one of a new user with its usual quotas, and a key for it. */
export async function ownOrganization(name: string): Promise<{ organizationId: string; apiKey: string }> {
  const { accessToken } = await signedIn(name)
  const { data: organizations } = await organizations23(accessToken).listOrganizations()
  const organizationId = organizations.find(({ personal }) => personal)?.id
  if (organizationId === undefined) throw new Error(`${name} has no organization`)
  const keys = new ApiKeysApi(new Configuration(clientSettings(accessToken)))
  const permissions = [CreateApiKeyPermissionsEnum.WRITE_SANDBOXES, CreateApiKeyPermissionsEnum.DELETE_SANDBOXES]
  const { data: key } = await keys.createApiKey({ name: 'own', permissions }, organizationId)
  return { organizationId, apiKey: key.value }
}

async function send(method: string, path: string, body: object): Promise<Response> {
  const answer = await call(path, { method, body: JSON.stringify(body) })
  if (!answer.ok) throw new Error(`${method} ${path} answered ${answer.status}`)
  return answer
}
