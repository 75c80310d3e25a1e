import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { DIAL_HOME_SOCKET_NAME, RunnerInfo, SANDBOX_DIAL_HOME_DIR } from '@atoll/protocol'
import type { TunnelPeer } from '@atoll/tunnel'
import { requestBuffered } from '@atoll/tunnel'
import { Value } from 'typebox/value'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readRunRecord, sandboxFolder } from './drivers/oci/sandbox-folder.ts'
import { findSandboxTraces, findSharedTraces } from './drivers/testing/host-traces.ts'
import type { ProbeServer } from './drivers/testing/probe-server.ts'
import { startProbeServer } from './drivers/testing/probe-server.ts'
import type { FakeApi } from './testing/fake-api.ts'
import { startFakeApi } from './testing/fake-api.ts'
import type { RunnerFolder } from './testing/runner-process.ts'
import { prepareRunner } from './testing/runner-process.ts'

const TOKEN = 'runner-token-of-a-test'
const LIMITS = { timeoutMs: 60_000, maxResponseBytes: 100_000 }
const SPEC = {
  snapshot: 'host',
  user: 'daytona',
  limits: { cpu: 1, memoryGiB: 0.25, diskGiB: 0.25, pids: 128 },
  network: 'nat',
}
const START = { toolboxToken: 'a-token-of-sixteen', env: {} }

let api: FakeApi
let probes: ProbeServer
let folder: RunnerFolder

beforeAll(async () => {
  api = await startFakeApi(TOKEN)
  folder = await prepareRunner({ ATOLL_CONTROL_URL: api.url, ATOLL_RUNNER_TOKEN: TOKEN })
  probes = await startProbeServer(join(folder.dataDir, 'dial-home'))
})
afterAll(async () => {
  await folder[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
  await probes[Symbol.asyncDispose]()
})

/** A runner that is ready, and the API's end of its tunnel. */
async function startReady(env: Record<string, string> = { ATOLL_DIAL_HOME_DIR: probes.folder }) {
  const runner = folder.start(env)
  const peer = await api.nextRunner()
  expect(await runner.message).toEqual({ type: 'ready' })
  return { ...runner, peer }
}

async function call(peer: TunnelPeer, { method, path, body }: { method: string; path: string; body?: unknown }) {
  const request = { method, path, ...(body === undefined ? {} : { body: JSON.stringify(body) }) }
  const answer = await requestBuffered(peer, request, LIMITS)
  return answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString())
}

async function startSandbox(peer: TunnelPeer, sandboxId: string) {
  const agent = probes.expect(sandboxId)
  await call(peer, { method: 'PUT', path: `/sandboxes/${sandboxId}`, body: SPEC })
  expect(await call(peer, { method: 'POST', path: `/sandboxes/${sandboxId}/start`, body: START })).toEqual({
    sandboxId,
    state: 'running',
  })
  return agent
}

describe('the runner', () => {
  it('tells of itself, stops its sandboxes at SIGTERM, leaves nothing on the host, and finds them again', async () => {
    const runnerDir = join(folder.dataDir, 'runner')
    const first = await startReady()
    const info = await call(first.peer, { method: 'GET', path: '/info' })
    expect(Value.Check(RunnerInfo, info), JSON.stringify(info)).toBe(true)
    const agent = await startSandbox(first.peer, 'a')
    await agent.exec('echo kept > file')
    first.child.kill('SIGTERM')
    expect(await first.exit).toEqual([0, null])
    await expect.poll(() => findSandboxTraces(runnerDir, 0)).toEqual(['folder a'])
    await expect.poll(() => findSharedTraces(runnerDir)).toEqual([])

    const second = await startReady()
    expect(await call(second.peer, { method: 'GET', path: '/sandboxes' })).toEqual({
      items: [{ sandboxId: 'a', state: 'stopped', reason: 'runner is shutting down' }],
    })
    const again = await startSandbox(second.peer, 'a')
    expect((await again.exec('cat file')).stdout).toBe('kept\n')
    // A runner also stops when its supervisor ends.
    second.child.disconnect()
    expect(await second.exit).toEqual([0, null])
    await expect.poll(() => findSandboxTraces(runnerDir, 0)).toEqual(['folder a'])
  })

  it('adopts its sandboxes after a kill -9, and the lock is free at once', async () => {
    const first = await startReady()
    const agent = await startSandbox(first.peer, 'b')
    first.child.kill('SIGKILL')
    await first.exit
    const second = await startReady()
    expect(await call(second.peer, { method: 'GET', path: '/sandboxes/b' })).toEqual({
      sandboxId: 'b',
      state: 'running',
    })
    expect((await agent.exec('echo alive')).stdout).toBe('alive\n')
    for (const id of ['a', 'b']) await call(second.peer, { method: 'DELETE', path: `/sandboxes/${id}` })
    second.child.kill('SIGINT')
    expect(await second.exit).toEqual([0, null])
    await expect.poll(() => findSandboxTraces(join(folder.dataDir, 'runner'), 0)).toEqual([])
  })

  it('gives each sandbox a way home of its own, which the next runner opens again', async () => {
    const runnerDir = join(folder.dataDir, 'runner')
    const toolboxDir = join(folder.dataDir, 'idle-toolbox')
    await mkdir(toolboxDir)
    await writeFile(join(toolboxDir, 'main.js'), 'setInterval(() => {}, 60_000)')
    const env = { ATOLL_TOOLBOX_DIR: toolboxDir }
    const first = await startReady(env)
    for (const id of ['c', 'd']) {
      await call(first.peer, { method: 'PUT', path: `/sandboxes/${id}`, body: SPEC })
      await call(first.peer, { method: 'POST', path: `/sandboxes/${id}/start`, body: START })
    }
    // The path leads through the mounts of the sandbox.
    const answerIn = async (id: string) => {
      const run = await readRunRecord(sandboxFolder(join(runnerDir, 'sandboxes'), id))
      const socketPath = `/proc/${run?.init.pid}/root${SANDBOX_DIAL_HOME_DIR}/${DIAL_HOME_SOCKET_NAME}`
      const [response] = await once(request({ socketPath, path: '/' }).end(), 'response')
      return response.statusCode
    }
    expect([await answerIn('c'), await answerIn('d')]).toEqual([404, 404])
    const folders = () => readdir(join(runnerDir, 'dial-homes'))
    const before = await folders()
    expect(before).toHaveLength(2)
    first.child.kill('SIGKILL')
    await first.exit
    const second = await startReady(env)
    expect([await answerIn('c'), await answerIn('d')]).toEqual([404, 404])
    expect(await folders()).toEqual(before)
    await call(second.peer, { method: 'DELETE', path: '/sandboxes/c' })
    expect(await folders()).toHaveLength(1)
    await call(second.peer, { method: 'DELETE', path: '/sandboxes/d' })
    expect(await folders()).toEqual([])
    second.child.kill('SIGTERM')
    await second.exit
  })

  it('says in one line that its data folder is taken', async () => {
    const first = await startReady()
    const second = folder.start()
    const message = `data folder ${join(folder.dataDir, 'runner')} is in use by another runner`
    expect(await second.message).toEqual({ type: 'failed', message })
    expect(await second.exit).toEqual([1, null])
    first.child.kill('SIGTERM')
    await first.exit
  })

  it('says in one line that its token is wrong, and leaves nothing behind', async () => {
    const runner = folder.start({ ATOLL_RUNNER_TOKEN: 'another-token-of-a-test' })
    const message = `the API at ${api.url} does not know this runner's token`
    expect(await runner.message).toEqual({ type: 'failed', message })
    expect(await runner.exit).toEqual([1, null])
    await expect.poll(() => findSharedTraces(join(folder.dataDir, 'runner'))).toEqual([])
  })

  it('says in one line what is missing', async () => {
    const message = async (env: Record<string, string>) => {
      const runner = folder.start(env)
      const told = await runner.message
      await runner.exit
      return told
    }
    expect(await message({ ATOLL_TOOLBOX_DIR: '/nowhere' })).toMatchObject({
      type: 'failed',
      message: expect.stringContaining('no toolbox bundle: /nowhere/main.js is not there'),
    })
    expect(await message({ ATOLL_OCI_RUNTIME: 'no-such-runtime' })).toMatchObject({
      type: 'failed',
      message: 'no OCI runtime works on this host (no-such-runtime: not installed)',
    })
  })

  it('ends at SIGTERM while the API is away', async () => {
    const runner = folder.start({ ATOLL_CONTROL_URL: 'http://127.0.0.1:1' })
    const watched = folder.start({ ATOLL_CONTROL_URL: 'http://127.0.0.1:1' })
    // One of the two gets no lock and tells its supervisor; the other is starting then, and is ended.
    const refused = await Promise.race([runner.message.then(() => watched), watched.message.then(() => runner)])
    refused.child.kill('SIGTERM')
    const [code] = await refused.exit
    expect([0, 1]).toContain(code)
    await expect.poll(() => findSharedTraces(join(folder.dataDir, 'runner'))).toEqual([])
  })
})
