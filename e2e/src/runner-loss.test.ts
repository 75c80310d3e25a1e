import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { findLeftovers } from '@atoll/dev-env'
import type { Sandbox } from '@daytonaio/sdk'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

/** The shortest time that can be configured. */
const LOST_AFTER_S = '5'

const checkout = dirname(dirname(import.meta.dirname))
const dataDir = mkdtempSync(join(tmpdir(), 'atoll-e2e-lost-'))
let system: System
let second: { id: string; apiKey: string }
let runner: ChildProcess
let moved: Sandbox
let staying: Sandbox

interface Facts {
  state: string
  runnerId?: string
  errorReason?: string
  recoverable?: boolean
  backupState?: string
}

async function ask<Body>(method: string, path: string, body?: object): Promise<Body> {
  const json = body === undefined ? {} : { body: JSON.stringify(body) }
  const answer = await system.call(path, { method, headers: { 'content-type': 'application/json' }, ...json })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return (await answer.json()) as Body
}

const factsOf = ({ id }: Sandbox) => ask<Facts>('GET', `/sandbox/${id}`)
const runnerState = async () => (await ask<{ state: string }>('GET', `/runners/${second.id}`)).state

function startRunner(): void {
  runner = spawn(process.execPath, [join(checkout, 'apps/runner/dist/main.js')], {
    env: {
      ...{ PATH: process.env['PATH'], ATOLL_DATA_DIR: dataDir, ATOLL_CONTROL_URL: system.atoll.url },
      ...{ ATOLL_RUNNER_TOKEN: second.apiKey, ATOLL_SANDBOX_NETWORK: 'none', ATOLL_LOG_LEVEL: 'warn' },
    },
    stdio: 'ignore',
  })
}

async function endRunner(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (runner.exitCode !== null || runner.signalCode !== null) return
  const ended = once(runner, 'exit')
  runner.kill(signal)
  await ended
}

/** Returns the ids of the sandboxes in the second runner's folder. */
const keptBySecond = () => readdirSync(join(dataDir, 'runner/sandboxes'))

beforeAll(async () => {
  system = await startSystem({ ATOLL_RUNNER_LOST_AFTER_S: LOST_AFTER_S })
  const [local] = await ask<{ id: string }[]>('GET', '/runners')
  second = await ask('POST', '/runners', { name: 'second', region: 'us' })
  startRunner()
  await eventually('the second runner is ready', async () => (await runnerState()) === 'ready', 60_000)
  await ask('PATCH', `/runners/${local?.id}/scheduling`, { unschedulable: true })
  const daytona = system.daytona()
  moved = await daytona.create()
  staying = await daytona.create()
  await ask('PATCH', `/runners/${local?.id}/scheduling`, { unschedulable: false })
})
afterAll(async () => {
  await endRunner('SIGTERM')
  const leftovers = [...(await system.end()), ...findLeftovers(dataDir)]
  rmSync(dataDir, { recursive: true, force: true })
  expect(leftovers).toEqual([])
})

it('L2: the sandboxes of a runner that vanished are unknown, and say at once that they cannot be reached', async () => {
  expect((await factsOf(moved)).runnerId).toBe(second.id)
  await moved.fs.uploadFile(Buffer.from('before'), 'kept.txt')
  await ask('POST', `/sandbox/${moved.id}/backup`)
  await eventually('it is backed up', async () => (await factsOf(moved)).backupState === 'Completed')
  await moved.fs.uploadFile(Buffer.from('after'), 'kept.txt')
  await staying.process.executeCommand('nohup sleep 7654 >/dev/null 2>&1 &')
  // The sandboxes keep running, as on a host that only lost its network.
  await endRunner('SIGKILL')
  for (const sandbox of [moved, staying]) {
    await eventually('it is unknown', async () => (await factsOf(sandbox)).state === 'unknown')
  }
  expect(await factsOf(staying)).toMatchObject({ recoverable: false })
  expect(await factsOf(moved)).toMatchObject({ recoverable: true, errorReason: expect.stringContaining('is lost') })
  await expect(moved.process.executeCommand('true')).rejects.toThrow('its runner is lost')
  await expect(moved.start()).rejects.toThrow('its runner is lost')
})

it('L4: one with a backup is recovered on another runner, with the files of then', async () => {
  await ask('POST', `/sandbox/${moved.id}/recover`)
  await eventually('it has started elsewhere', async () => (await factsOf(moved)).state === 'started')
  expect((await factsOf(moved)).runnerId).not.toBe(second.id)
  expect((await moved.fs.downloadFile('kept.txt')).toString()).toBe('before')
})

it('L3, L7: a runner that returns goes on with what is its own, and removes what is elsewhere', async () => {
  expect(keptBySecond().sort()).toEqual([moved.id, staying.id].sort())
  startRunner()
  await eventually('it is ready', async () => (await runnerState()) === 'ready', 60_000)
  await eventually('what stayed is started', async () => (await factsOf(staying)).state === 'started')
  expect(keptBySecond()).toEqual([staying.id])
  const processes = "cat /proc/[0-9]*/cmdline | tr '\\0' ' '"
  await eventually('its toolbox is there', async () => {
    const call = staying.process.executeCommand(processes)
    return await call.then(({ result }) => result.includes('sleep 7654')).catch(() => false)
  })
  expect((await moved.fs.downloadFile('kept.txt')).toString()).toBe('before')
  expect((await factsOf(moved)).state).toBe('started')
})

it('L9, L11: what is deleted meanwhile is gone, and so is a lost runner that is removed', async () => {
  await endRunner('SIGKILL')
  await eventually('it is unknown', async () => (await factsOf(staying)).state === 'unknown')
  expect((await system.call(`/runners/${second.id}`, { method: 'DELETE' })).status).toBe(409)
  await staying.delete()
  await eventually('it is gone', async () => (await factsOf(staying)).state === 'destroyed')
  startRunner()
  await eventually('nothing of it is left there', async () => keptBySecond().length === 0, 60_000)
  await endRunner('SIGTERM')
  expect((await system.call(`/runners/${second.id}?force=true`, { method: 'DELETE' })).status).toBe(204)
})
