import type { Sandbox, Snapshot, Volume } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createOrganizationSandboxes } from '../sandboxes/organization-sandboxes.ts'
import { createSandboxChanges } from '../sandboxes/sandbox-changes.ts'
import { createSandboxStore } from '../sandboxes/sandbox-store.ts'
import { createOrganizationSnapshots } from '../snapshots/organization-snapshots.ts'
import { createSnapshotChanges } from '../snapshots/snapshot-changes.ts'
import { createSnapshotRunnerStore } from '../snapshots/snapshot-runner-store.ts'
import { createSnapshotStore } from '../snapshots/snapshot-store.ts'
import type { SandboxWorld } from '../testing/sandbox-world.ts'
import { createSandboxWorld } from '../testing/sandbox-world.ts'
import { until } from '../testing/until.ts'
import { createOrganizationVolumes } from '../volumes/organization-volumes.ts'
import { createVolumeChanges } from '../volumes/volume-changes.ts'
import { createVolumeStore } from '../volumes/volume-store.ts'
import { createOrganizationUpkeep } from './organization-upkeep.ts'

let world: SandboxWorld

beforeAll(async () => {
  world = await createSandboxWorld()
})
afterAll(() => world[Symbol.asyncDispose]())

test('a deleted organization takes its snapshots and volumes with it, what is in use last', async () => {
  const { sql } = world.api.database
  const as = await world.createPrincipal()
  await sql`update organizations set personal = false where id = ${as.organizationId}`
  const post = async (path: string, body: object) => {
    const answer = await world.call('POST', path, { as, body })
    expect(answer.status).toBe(200)
    return answer.body
  }
  const volume = (await post('/volumes', { name: 'data' })) as Volume
  await until('the volume is ready', async () => {
    return ((await world.call('GET', `/volumes/${volume.id}`, { as })).body as Volume).state === 'ready'
  })
  const snapshot = (await post('/snapshots', { name: 'base', imageName: 'registry.example.org/base:1' })) as Snapshot
  const mounts = [{ volumeId: volume.id, mountPath: '/data' }]
  const sandbox = (await post('/sandbox', { volumes: mounts })) as Sandbox
  const usage = await world.call('GET', `/organizations/${as.organizationId}/usage`, { as })
  expect(usage.body).toMatchObject({ currentVolumeUsage: 1, currentSnapshotUsage: 1, currentWorkspaces: 1 })

  expect((await world.call('DELETE', `/organizations/${as.organizationId}`, { as })).status).toBe(204)
  const upkeep = createUpkeep()
  await until('its row is gone', async () => {
    await upkeep.run()
    return (await sql`select 1 from organizations where id = ${as.organizationId}`).length === 0
  })
  expect(world.runner.sandboxes.has(sandbox.id)).toBe(false)
  expect(world.runner.holdings.volumes.has(volume.id)).toBe(false)
  expect(await sql`select 1 from volumes where id = ${volume.id}`).toEqual([])
  expect(await sql`select 1 from snapshots where id = ${snapshot.id}`).toEqual([])
})

/** Creates the upkeep of another replica. */
function createUpkeep() {
  const { database } = world.api
  const [listener, now] = [{ subscribe: () => undefined }, Date.now]
  const sandboxStore = createSandboxStore({ database, changes: createSandboxChanges(listener), now })
  const volumeStore = createVolumeStore({ database, changes: createVolumeChanges(listener), now })
  const snapshotStore = createSnapshotStore({ database, changes: createSnapshotChanges(listener), now })
  return createOrganizationUpkeep({
    ...{ database, now, log: createLogger('test', 'silent') },
    belongings: [
      createOrganizationVolumes({ database, store: volumeStore }),
      createOrganizationSandboxes({ database, store: sandboxStore }),
      createOrganizationSnapshots({ database, store: snapshotStore, holdings: createSnapshotRunnerStore(database) }),
    ],
  })
}
