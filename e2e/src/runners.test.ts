import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findLeftovers } from '@atoll/dev-env'
import * as client18 from 'daytona-api-client-0-18'
import * as client23 from 'daytona-api-client-0-23'
import * as client218 from 'daytona-api-client-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { call, sdk218, sharedSystem } from './testing/shared-system.ts'

const checkout = dirname(dirname(import.meta.dirname))
const own = ownSandbox218()
let nodes: client18.NodesApi
let runners23: client23.RunnersApi
let runners218: client218.RunnersApi
let regions: client218.RegionsApi
let organizations: client218.OrganizationsApi
let localId: string

const OLD_BODY = {
  ...{ domain: 'old.example.org', apiUrl: 'http://old.example.org', cpu: 4, memory: 8, disk: 50, gpu: 0 },
  ...{ gpuType: '', capacity: 10 },
} as const

interface OldRunner {
  id: string
  domain: string
}

/** Returns the data of an answer: clients of these generations do not declare it. */
async function answerOf<Data>(call: Promise<{ data: unknown }>): Promise<Data> {
  return (await call).data as Data
}

beforeAll(async () => {
  const { url, apiKey } = sharedSystem()
  const settings = { basePath: `${url}/api`, accessToken: apiKey }
  nodes = new client18.NodesApi(new client18.Configuration(settings))
  runners23 = new client23.RunnersApi(new client23.Configuration(settings))
  runners218 = new client218.RunnersApi(new client218.Configuration(settings))
  regions = new client218.RegionsApi(new client218.Configuration(settings))
  organizations = new client218.OrganizationsApi(new client218.Configuration(settings))
  localId = (await runners218.getRunnerBySandboxId(own.sandbox.id)).data.id
})

describe('runners through api-client 0.218', () => {
  it('tell what they have and where things are', async () => {
    const { data } = await runners218.getRunnerById(localId)
    expect(data).toMatchObject({
      name: 'local',
      region: 'us',
      state: 'ready',
      unschedulable: false,
      runnerClass: 'container',
    })
    expect(data.cpu * data.memory * data.disk).toBeGreaterThan(0)
    expect((await runners218.listRunners('us')).data.map(({ id }) => id)).toContain(localId)
    expect((await runners218.getRunnerFullById(localId)).data).toMatchObject({ id: localId, regionType: 'shared' })
    expect((await runners218.getRunnersBySnapshotRef('host')).data.map(({ runnerId }) => runnerId)).toContain(localId)
  })

  it('are not deleted while they have sandboxes', async () => {
    await expect(runners218.deleteRunner(localId)).rejects.toMatchObject({ response: { status: 409 } })
  })
})

describe('runners through api-client 0.23', () => {
  it('are registered, listed, and taken out of placement', async () => {
    const { CreateRunnerClassEnum, CreateRunnerRegionEnum } = client23
    const kind = { class: CreateRunnerClassEnum.SMALL, region: CreateRunnerRegionEnum.US }
    const body = { ...OLD_BODY, ...kind, apiKey: 'a-token-of-sixteen-or-more' }
    const made = await answerOf<OldRunner>(runners23.createRunner(body))
    expect(made).toMatchObject({ ...body, state: 'initializing', used: 0 })
    const listed = await answerOf<OldRunner[]>(runners23.listRunners())
    expect(listed.map(({ id }) => id)).toContain(made.id)
    await runners23.updateRunnerScheduling(made.id, { data: { unschedulable: true } })
    expect((await runners218.getRunnerById(made.id)).data.unschedulable).toBe(true)
    expect((await runners23.getRunnerBySandboxId(own.sandbox.id)).data.id).toBe(localId)
    expect((await runners23.getRunnersBySnapshotInternalName('host')).data[0]?.runnerId).toBe(localId)
    await runners218.deleteRunner(made.id)
  })
})

describe('nodes through api-client 0.18', () => {
  it('are the same', async () => {
    const { CreateNodeClassEnum, CreateNodeRegionEnum } = client18
    const kind = { class: CreateNodeClassEnum.SMALL, region: CreateNodeRegionEnum.US }
    await nodes.createNode({ ...OLD_BODY, ...kind, domain: 'node', apiKey: 'another-token-of-sixteen' })
    const listed = await answerOf<OldRunner[]>(nodes.listNodes())
    const { id } = listed.find(({ domain }) => domain === 'node') ?? { id: '' }
    await nodes.updateNodeScheduling(id, { data: { unschedulable: true } })
    expect((await runners218.getRunnerById(id)).data.unschedulable).toBe(true)
    await runners218.deleteRunner(id)
  })
})

describe('a region with a runner of its own', () => {
  const dataDir = mkdtempSync(join(tmpdir(), 'atoll-e2e-runner-'))
  afterAll(() => rmSync(dataDir, { recursive: true, force: true }))

  it('is where a sandbox is made that asks for it, unless it drains', async () => {
    expect((await regions.listSharedRegions()).data).toMatchObject([{ id: 'us', regionType: 'shared' }])
    const { url } = sharedSystem()
    const { id: regionId } = (await organizations.createRegion({ name: 'lab' })).data
    await organizations.updateRegion(regionId, { proxyUrl: 'https://proxy.example.org' })
    const own = { id: regionId, name: 'lab', regionType: 'custom', proxyUrl: 'https://proxy.example.org' }
    expect((await organizations.getRegionById(regionId)).data).toMatchObject(own)
    expect((await organizations.listAvailableRegions()).data).toMatchObject([{ id: 'us' }, own])
    const { data: made } = await runners218.createRunner({ name: 'lab-1', regionId })
    const runner = spawn(process.execPath, [join(checkout, 'apps/runner/dist/main.js')], {
      env: {
        ...{ PATH: process.env['PATH'], ATOLL_DATA_DIR: dataDir, ATOLL_CONTROL_URL: url },
        ...{ ATOLL_RUNNER_TOKEN: made.apiKey, ATOLL_SANDBOX_NETWORK: 'none', ATOLL_LOG_LEVEL: 'warn' },
      },
      stdio: 'ignore',
    })
    try {
      const state = async () => (await runners218.getRunnerById(made.id)).data.state
      await eventually('it is ready', async () => (await state()) === 'ready', 60_000)
      const create = () => call('/sandbox', { method: 'POST', body: JSON.stringify({ target: 'lab' }) })
      await runners218.updateRunnerDraining(made.id, undefined, { data: { draining: true } })
      const refused = await create()
      expect([refused.status, ((await refused.json()) as { message: string }).message]).toEqual([
        400,
        'No available runners',
      ])
      const { data: back } = await runners218.updateRunnerDraining(made.id, undefined, { data: { draining: false } })
      expect(back.state).toBe('ready')
      const daytona = sdk218()
      const answer = await create()
      const sandbox = await daytona.get(((await answer.json()) as { id: string }).id)
      expect([sandbox.target, (await runners218.getRunnerBySandboxId(sandbox.id)).data.id]).toEqual([regionId, made.id])
      expect((await sandbox.process.executeCommand('echo here')).result).toBe('here\n')
      await sandbox.delete(60, true)
      await daytona[Symbol.asyncDispose]()
    } finally {
      runner.kill('SIGTERM')
      await once(runner, 'exit')
    }
    await runners218.deleteRunner(made.id)
    expect((await organizations.deleteRegion(regionId)).status).toBe(204)
    expect(findLeftovers(dataDir)).toEqual([])
  })
})
