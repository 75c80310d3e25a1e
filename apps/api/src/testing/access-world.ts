import { randomUUID } from 'node:crypto'
import { permissions } from '../auth/permission.ts'
import { createRunnerStore } from '../runners/runner-store.ts'
import { createSandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { planSandbox } from '../sandboxes/sandbox-plan.ts'
import { createSandboxStore } from '../sandboxes/sandbox-store.ts'
import type { OrganizationWorld } from './organization-world.ts'
import { createOrganizationWorld } from './organization-world.ts'
import type { TestPrincipal } from './test-api.ts'

/** An organization and the two users who try to call for things of it. */
export interface Place {
  readonly owner: TestPrincipal
  readonly member: TestPrincipal
}

export interface AccessWorld extends AsyncDisposable {
  readonly world: OrganizationWorld
  readonly administrator: TestPrincipal
  /** Creates an organization with an owner and a member without any role. */
  createPlace(): Promise<Place>
  /** Returns the part of a path after `segment`: the id or name of a thing of the place, or plain text. */
  thing(segment: string, place: Place): Promise<string>
  /** Returns the path of a route, with the place's things in it. */
  pathIn(url: string, place: Place): Promise<string>
}

/** Parts of a path after a segment that belong to no organization. */
const TEXTS: Readonly<Record<string, string>> = {
  ...{ ports: '3000', port: '3000', process: '1', pty: 'p', session: 's', command: 'c', context: 'c', recordings: 'r' },
  ...{ public: 'true', autostop: '15', autoarchive: '15', autodelete: '15', ttl: '15', 'linked-accounts': 'github' },
  ...{ 'signed-preview-url': '0123456789abcdef', validate: 'a-token' },
}

/** Creates a world. The caller disposes it. */
export async function createAccessWorld(): Promise<AccessWorld> {
  const world = await createOrganizationWorld()
  const newSandbox = await createSandboxMaker(world)
  const administrator = await world.createUser({ systemRole: 'admin' })
  const post = async ({ owner: as }: Place, path: string, body: object) => {
    const { status, body: made } = await world.call('POST', path, { as, body })
    if (status >= 300) throw new Error(`status ${status} of POST ${path}: ${JSON.stringify(made)}`)
    return made
  }
  const created = async (place: Place, path: string, body: object) =>
    ((await post(place, path, body)) as { id: string }).id
  const inOrganization = (place: Place, path: string, body: object) =>
    created(place, `/organizations/${place.owner.organizationId}${path}`, body)
  const newKey = async (place: Place) => {
    const body = { name: randomUUID(), permissions: [permissions[0]] }
    await post(place, '/api-keys', body)
    return body.name
  }
  // Runners belong to administrators only.
  const newRunner = (place: Place) =>
    created({ ...place, owner: administrator }, '/runners', { name: randomUUID(), region: 'us' })
  const newSnapshot = (place: Place) =>
    created(place, '/snapshots', { name: randomUUID(), imageName: 'registry.example.org/a:1' })
  const things: Readonly<Record<string, (place: Place) => Promise<string>>> = {
    organizations: async ({ owner }) => owner.organizationId,
    users: async ({ member }) => member.userId,
    'api-keys': newKey,
    ...{ snapshots: newSnapshot, images: newSnapshot },
    'by-name': async (place) => {
      const name = randomUUID()
      await post(place, '/volumes', { name })
      return name
    },
    volumes: (place) => created(place, '/volumes', { name: randomUUID() }),
    'docker-registry': (place) =>
      created(place, '/docker-registry', {
        name: 'a',
        url: 'registry.example.org',
        username: 'a',
        password: 'b',
        project: 'c',
      }),
    'warm-pools': (place) => created(place, '/warm-pools', { snapshot: 'host', pool: 0 }),
    roles: (place) =>
      inOrganization(place, '/roles', { name: randomUUID(), description: '', permissions: [permissions[0]] }),
    invitations: (place) => inOrganization(place, '/invitations', { email: `${randomUUID()}@example.org` }),
    regions: (place) => created(place, '/regions', { name: randomUUID() }),
    ...{ runners: newRunner, nodes: newRunner, 'by-sandbox': newSandbox, preview: newSandbox },
    ...{ sandbox: newSandbox, workspace: newSandbox, toolbox: newSandbox, 'toolbox-proxy': newSandbox },
  }
  const made = new WeakMap<Place, Map<string, string>>()
  const thing: AccessWorld['thing'] = async (segment, place) => {
    const text = TEXTS[segment]
    if (text !== undefined) return text
    const make = things[segment]
    if (make === undefined) throw new Error(`access-world.ts does not say what stands in a path after ${segment}`)
    const known = made.get(place) ?? new Map<string, string>()
    made.set(place, known)
    const name = known.get(segment) ?? (await make(place))
    known.set(segment, name)
    return name
  }
  return {
    world,
    administrator,
    async createPlace() {
      const owner = await world.createOrganization(await world.createUser())
      return { owner, member: await world.join(owner.organizationId, await world.createUser(), 'member') }
    },
    thing,
    async pathIn(url, place) {
      const parts = url.split('/')
      for (const [position, part] of parts.entries()) {
        if (part === '*') parts[position] = 'anything'
        else if (part.startsWith(':')) parts[position] = await thing(segmentBefore(url.split('/'), position), place)
      }
      return parts.join('/')
    },
    [Symbol.asyncDispose]: () => world[Symbol.asyncDispose](),
  }
}

/** Whether the part of a path after a segment is plain text, which belongs to no organization. */
export function isText(segment: string): boolean {
  return segment in TEXTS
}

/** Returns the segment that says what a name in a path is: `api-keys` for both of `/api-keys/:userId/:name`. */
export function segmentBefore(parts: readonly string[], position: number): string {
  return parts.slice(0, position).findLast((part) => !part.startsWith(':')) ?? ''
}

/** Returns a function that makes rows of stopped sandboxes, on a runner that is not connected. */
async function createSandboxMaker({ api }: OrganizationWorld): Promise<(place: Place) => Promise<string>> {
  const { database } = api
  const runnerId = await createRunnerStore(database).ensure({ name: 'far', tokenHash: '0'.repeat(64), region: 'us' })
  const changes = createSandboxChanges({ subscribe: () => undefined })
  const store = createSandboxStore({ database, changes, now: Date.now })
  return async ({ owner }) => {
    const at = new Date()
    const times = { changedAt: at, lastActivityAt: at, createdAt: at, updatedAt: at }
    const { organizationId, userId } = owner
    const states = { state: 'stopped', desiredState: 'stopped' } as const
    const values = { ...planSandbox({}), ...times, ...states, target: 'us', organizationId, runnerId }
    const row = await store.transaction((tx) => store.insert(tx, values, { kind: 'user', id: userId }))
    if (row === undefined) throw new Error('the sandbox was not made')
    return row.id
  }
}
