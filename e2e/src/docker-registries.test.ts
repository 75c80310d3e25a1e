import { randomUUID } from 'node:crypto'
import { Configuration as Configuration18, DockerRegistryApi as Registries18 } from 'daytona-api-client-0-18'
import { Configuration as Configuration23, DockerRegistryApi as Registries23 } from 'daytona-api-client-0-23'
import { Configuration as Configuration218, DockerRegistryApi as Registries218 } from 'daytona-api-client-0-218'
import { describe, expect, it } from 'vitest'
import { sharedSystem } from './testing/shared-system.ts'

interface Shown {
  id: string
  name: string
  username: string
  registryType: string
}

/** The registry operations of the clients of all generations; no SDK has methods for them. */
interface Registries {
  createRegistry(body: NewRegistry): Promise<{ status: number; data: Shown }>
  listRegistries(): Promise<{ data: Shown[] }>
  getRegistry(id: string): Promise<{ data: Shown }>
  updateRegistry(id: string, body: Changed): Promise<{ data: Shown }>
  /** Missing in the newest client. */
  setDefaultRegistry?(id: string): Promise<{ data: Shown }>
  deleteRegistry(id: string): Promise<{ status: number }>
  getTransientPushAccess(): Promise<unknown>
}

interface NewRegistry extends Changed {
  password: string
  project: string
  registryType: 'organization'
  isDefault: boolean
}

interface Changed {
  name: string
  url: string
  username: string
}

function configuration() {
  const { url, apiKey } = sharedSystem()
  return { basePath: `${url}/api`, accessToken: apiKey }
}

const clients: [string, () => Registries][] = [
  ['0.18', () => new Registries18(new Configuration18(configuration()))],
  ['0.23', () => new Registries23(new Configuration23(configuration()))],
  ['0.218', () => new Registries218(new Configuration218(configuration()))],
]

/** Returns the status and the message of a call that must be refused. */
async function refusal(call: Promise<unknown>): Promise<[number, string]> {
  try {
    await call
  } catch (error) {
    const { response } = error as { response: { status: number; data: { message: string } } }
    return [response.status, response.data.message]
  }
  throw new Error('it was not refused')
}

describe.each(clients)('registries through API client %s', (_version, connect) => {
  it('are added, found, changed, chosen and removed', async () => {
    const registries = connect()
    const name = randomUUID()
    const url = 'registry.example.org'
    const given = { name, url, username: 'ada', password: 's3cret', project: 'images', isDefault: false }
    const added = await registries.createRegistry({ ...given, registryType: 'organization' })
    expect([added.status, added.data]).toMatchObject([
      201,
      { name, url, username: 'ada', registryType: 'organization' },
    ])
    expect(JSON.stringify(added.data)).not.toContain('s3cret')
    const { id } = added.data
    const listed = (await registries.listRegistries()).data
    expect(listed.find((registry) => registry.id === id)).toEqual(added.data)
    expect((await registries.getRegistry(id)).data).toEqual(added.data)
    const changed = await registries.updateRegistry(id, { name: `${name}2`, url, username: 'grace' })
    expect(changed.data).toMatchObject({ id, name: `${name}2`, username: 'grace' })
    const chosen = await registries.setDefaultRegistry?.(id)
    expect(chosen?.data.id ?? id).toBe(id)
    expect((await registries.deleteRegistry(id)).status).toBe(204)
    expect(await refusal(registries.getRegistry(id))).toEqual([404, `Docker registry with ID ${id} not found`])
  })

  it('give no push access where there is nothing to push to, and say so', async () => {
    const [status, message] = await refusal(connect().getTransientPushAccess())
    expect([status, message]).toEqual([409, expect.stringContaining('no registry of type transient')])
  })
})
