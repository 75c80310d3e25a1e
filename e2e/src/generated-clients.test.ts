import { randomUUID } from 'node:crypto'
import * as client18 from 'daytona-api-client-0-18'
import * as client23 from 'daytona-api-client-0-23'
import * as client218 from 'daytona-api-client-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { clientSettings, refusal } from './testing/api-clients.ts'
import { eventually } from './testing/eventually.ts'

/** This file calls the operations that no SDK method calls, through the generated clients under the SDKs. */
const mark = randomUUID()
const dockerfileContent = `FROM scratch\nLABEL mark=${mark}`
/** The organization's parameter, left out because the key belongs to one. */
const KEYS = undefined

let oldest: client18.Configuration
let middle: client23.Configuration
let newest: client218.Configuration

beforeAll(() => {
  const settings = clientSettings()
  oldest = new client18.Configuration(settings)
  middle = new client23.Configuration(settings)
  newest = new client218.Configuration(settings)
})

describe('images through api-client 0.18', () => {
  const name = `clients/${mark}:image`
  let images: client18.ImagesApi
  let id: string

  it('are built, listed and found', async () => {
    images = new client18.ImagesApi(oldest)
    const made = (await images.buildImage({ name, buildInfo: { dockerfileContent } })).data
    expect(made).toMatchObject({ name, general: false, enabled: true })
    id = made.id
    await eventually('it is active', async () => (await images.getImage(id)).data.state === 'active', 120_000)
    const page = (await images.getAllImages(KEYS, 1000, 1)).data
    expect(page).toMatchObject({ page: 1, total: page.items.length })
    expect(page.items.map((image) => image.id)).toContain(id)
  })

  it('are toggled, made general, and removed', async () => {
    expect((await images.toggleImageState(id, { enabled: false })).data.enabled).toBe(false)
    expect((await images.setImageGeneralStatus(id, { general: true })).data.general).toBe(true)
    expect((await images.setImageGeneralStatus(id, { general: false })).data).toMatchObject({
      ...{ id, name, enabled: false, general: false },
    })
    await images.removeImage(id)
    await eventually('it is gone', async () => (await statusOf(images.getImage(id))) === 404)
  })

  it('that nobody has are in error', async () => {
    const missing = `localhost:1/${mark}:1`
    const made = (await images.createImage({ name: missing })).data
    await eventually('it has failed', async () => (await images.getImage(made.id)).data.state === 'error', 60_000)
    expect((await images.getImage(made.id)).data.errorReason).not.toBe('')
    await images.removeImage(made.id)
  })
})

describe('snapshots through api-client 0.23', () => {
  const name = `clients/${mark}:snapshot`
  let snapshots: client23.SnapshotsApi
  let snapshots218: client218.SnapshotsApi
  let id: string

  it('are toggled and made general', async () => {
    snapshots = new client23.SnapshotsApi(middle)
    snapshots218 = new client218.SnapshotsApi(newest)
    id = (await snapshots.createSnapshot({ name, buildInfo: { dockerfileContent } })).data.id
    await eventually('it is active', async () => (await snapshots.getSnapshot(id)).data.state === 'active', 120_000)
    expect((await snapshots.toggleSnapshotState(id, { enabled: false })).data.enabled).toBe(false)
    expect((await snapshots.toggleSnapshotState(id, { enabled: true })).data.enabled).toBe(true)
    expect((await snapshots.setSnapshotGeneralStatus(id, { general: true })).data.general).toBe(true)
    expect((await snapshots.setSnapshotGeneralStatus(id, { general: false })).data.general).toBe(false)
  })

  it('are activated again after 0.218 has deactivated them', async () => {
    await snapshots218.deactivateSnapshot(id)
    expect((await snapshots218.getSnapshot(id)).data.state).toBe('inactive')
    expect((await snapshots.activateSnapshot(id)).data.state).toBe('active')
    expect(await refusal(snapshots.activateSnapshot(id))).toMatchObject({ status: 400 })
  })

  it('tell how they were built, until they are removed', async () => {
    expect(String((await snapshots.getSnapshotBuildLogs(id)).data)).not.toBe('')
    expect((await snapshots218.getSnapshotBuildLogsUrl(id)).data.url).toContain(id)
    await snapshots218.removeSnapshot(id)
    await eventually('it is gone', async () => (await statusOf(snapshots.getSnapshot(id))) === 404)
  })
})

describe('a volume', () => {
  it('is the same by id and by name through each api-client', async () => {
    const name = `clients-${mark}`
    const volumes18 = new client18.VolumesApi(oldest)
    const volumes23 = new client23.VolumesApi(middle)
    const volumes218 = new client218.VolumesApi(newest)
    const { id } = (await volumes18.createVolume({ name })).data
    await eventually('it is ready', async () => (await volumes18.getVolume(id)).data.state === 'ready')
    const shown = (await volumes18.getVolume(id)).data
    for (const volumes of [volumes23, volumes218]) {
      expect((await volumes.getVolume(id)).data).toEqual(shown)
      expect((await volumes.getVolumeByName(name)).data).toEqual(shown)
    }
    await volumes218.deleteVolume(id)
    await eventually('it is gone', async () => (await volumes23.listVolumes()).data.every((one) => one.id !== id))
    const all = (await volumes23.listVolumes(KEYS, true)).data
    expect(all.find((one) => one.id === id)?.name).toBe(`${name}-deleted`)
  })
})

describe('a workspace through api-clients 0.18 and 0.23', () => {
  let workspaces: client18.WorkspaceApi
  let deprecated: client23.WorkspaceApi
  let sandboxes: client23.SandboxApi
  let id: string

  beforeAll(async () => {
    workspaces = new client18.WorkspaceApi(oldest)
    deprecated = new client23.WorkspaceApi(middle)
    sandboxes = new client23.SandboxApi(middle)
    id = (await workspaces.createWorkspace({ labels: { mark } })).data.id
  })
  afterAll(() => workspaces.deleteWorkspace(id, true))

  it('is public or not, and archived after an interval', async () => {
    await workspaces.updatePublicStatus(id, true)
    expect((await workspaces.getWorkspace(id)).data.public).toBe(true)
    await deprecated.updatePublicStatusWorkspaceDeprecated(id, false)
    await deprecated.setAutoArchiveIntervalWorkspaceDeprecated(id, 120)
    await deprecated.setAutostopIntervalWorkspaceDeprecated(id, 30)
    const shown = (await deprecated.getWorkspaceDeprecated(id)).data
    expect(shown).toMatchObject({ id, public: false, autoStopInterval: 30, autoArchiveInterval: 120 })
    await sandboxes.updatePublicStatus(id, true)
    expect((await sandboxes.getSandbox(id)).data.public).toBe(true)
  })

  it('is found by its labels', async () => {
    const labels = JSON.stringify({ mark })
    expect((await workspaces.listWorkspaces(KEYS, true, labels)).data.map((one) => one.id)).toEqual([id])
    expect((await sandboxes.listSandboxes(KEYS, true, labels)).data.map((one) => one.id)).toEqual([id])
  })

  it('is kept as a snapshot, as a backup, or as a backup of the sandbox that it is', async () => {
    const kept = () => workspaces.getWorkspace(id).then(({ data }) => data.snapshotCreatedAt)
    for (const keep of [
      () => workspaces.createSnapshot(id),
      () => deprecated.createBackupWorkspaceDeprecated(id),
      () => sandboxes.createBackup(id),
    ]) {
      const before = await kept()
      expect((await keep()).data.id).toBe(id)
      await eventually('it is kept', async () => (await kept()) !== before)
    }
    expect((await workspaces.getWorkspace(id)).data.snapshotState).toBe('Completed')
  })
})

async function statusOf(call: Promise<{ status: number }>): Promise<number> {
  return await call.then(
    ({ status }) => status,
    (error: { response?: { status: number } }) => error.response?.status ?? 0,
  )
}
