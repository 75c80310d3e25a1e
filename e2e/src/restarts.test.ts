import { renameSync } from 'node:fs'
import { join } from 'node:path'
import { findLeftovers } from '@atoll/dev-env'
import type { Sandbox } from '@daytonaio/sdk'
import { Daytona as Daytona218 } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

let system: System
let sandbox: Sandbox

beforeAll(async () => {
  system = await startSystem()
  sandbox = await system.daytona().create({ envVars: { KEPT: 'yes' } })
  await sandbox.fs.uploadFile(Buffer.from('still here'), 'kept.txt')
})
afterAll(async () => {
  expect(await system.end()).toEqual([])
})

describe('a part that dies alone', () => {
  it('the runner: the sandbox runs on, and can be stopped and started once it is back', async () => {
    await sandbox.process.executeCommand('nohup sleep 7777 >/dev/null 2>&1 &')
    process.kill(system.atoll.pids().runner, 'SIGKILL')
    await system.atoll.printed('the runner runs again')
    const { result } = await sandbox.process.executeCommand("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    expect(result).toContain('sleep 7777')
    await sandbox.stop()
    await sandbox.start()
    expect(await keptFile()).toBe('still here')
  })

  it('the API: the toolbox and the runner dial in again, and calls work', async () => {
    process.kill(system.atoll.pids().api, 'SIGKILL')
    await system.atoll.printed('the api runs again')
    await eventually('the toolbox answers again', answers)
    // The toolbox and the runner dial home in either order, and a create needs the runner.
    await eventually('the runner is there again', async () => (await metrics()).includes('atoll_runners_connected 1\n'))
    const second = await system.daytona().create()
    expect((await second.process.executeCommand('echo new')).result.trim()).toBe('new')
    await second.delete()
  })

  it('the toolbox: a call in flight fails, and the sandbox starts again with its files', async () => {
    const call = sandbox.process.executeCommand('kill -9 -1; sleep 600')
    await expect(call).rejects.toThrow()
    await eventually('the sandbox is seen to have stopped', async () => {
      await sandbox.refreshData()
      return sandbox.state === 'stopped'
    })
    await sandbox.start()
    expect(await keptFile()).toBe('still here')
  })

  it.each(['api', 'runner'] as const)('the %s: what is being archived then is archived, and restored', async (part) => {
    await sandbox.process.executeCommand('head -c 200000000 /dev/urandom > large; sha256sum large > sum')
    await sandbox.stop()
    await sandbox.archive()
    process.kill(system.atoll.pids()[part], 'SIGKILL')
    await eventually('it is archived', async () => (await stateNow()) === 'archived', 120_000)
    await eventually('the runner is there', async () => (await metrics()).includes('atoll_runners_connected 1\n'))
    await sandbox.start()
    expect((await sandbox.process.executeCommand('sha256sum -c sum')).result.trim()).toBe('large: OK')
    expect(await keptFile()).toBe('still here')
  })
})

describe('a start that fails', () => {
  it('leaves an error that says why, and the SDK recovers the sandbox with its files', async () => {
    await sandbox.stop()
    const disk = join(system.atoll.dataDir, 'runner/sandboxes', sandbox.id, 'disk.img')
    renameSync(disk, `${disk}-away`)
    await using daytona = new Daytona218({ ...system.access(), target: 'us' })
    const failing = await daytona.get(sandbox.id)
    await expect(failing.start()).rejects.toThrow('could not be started')
    await failing.refreshData()
    expect(failing).toMatchObject({
      state: 'error',
      recoverable: true,
      errorReason: expect.stringContaining('disk.img'),
    })
    renameSync(`${disk}-away`, disk)
    await failing.recover()
    expect(failing.state).toBe('started')
    expect(failing.errorReason).toBeUndefined()
    expect(await keptFile()).toBe('still here')
  })
})

describe('the whole system', () => {
  it('ended by SIGTERM leaves nothing, and finds its sandboxes again', async () => {
    expect(await system.atoll.stop()).toBe(0)
    expect(findLeftovers(system.atoll.dataDir)).toEqual([])
    await system.atoll.restart()
    expect(await startedAgain()).toBe('still here')
  })

  it('killed by SIGKILL, sandboxes and all, finds them again', async () => {
    await system.atoll.kill9()
    await system.atoll.restart()
    expect(await startedAgain()).toBe('still here')
  })

  it('killed by SIGKILL at the top only ends by itself, and finds its sandboxes again', async () => {
    process.kill(system.atoll.pids().supervisor, 'SIGKILL')
    await system.atoll.restart()
    expect(await startedAgain()).toBe('still here')
  })
})

async function stateNow(): Promise<string | undefined> {
  try {
    await sandbox.refreshData()
    return sandbox.state
  } catch {
    // The API is still starting again.
    return undefined
  }
}

async function answers(): Promise<boolean> {
  try {
    return (await sandbox.process.executeCommand('echo $KEPT')).result.trim() === 'yes'
  } catch {
    // The tunnel is not open again yet.
    return false
  }
}

async function metrics(): Promise<string> {
  return (await fetch(`${system.atoll.url}/metrics`)).text()
}

async function keptFile(): Promise<string> {
  return (await sandbox.fs.downloadFile('kept.txt')).toString()
}

/** Gets the sandbox from the new run, starts it if it is not started, and returns the content of its file. */
async function startedAgain(): Promise<string> {
  const found = await system.daytona().list()
  expect(found.map((one) => one.id)).toEqual([sandbox.id])
  sandbox = await system.daytona().get(sandbox.id)
  await eventually('the sandbox settles', async () => {
    await sandbox.refreshData()
    return sandbox.state === 'stopped' || sandbox.state === 'started'
  })
  if (sandbox.state === 'stopped') await sandbox.start()
  await eventually('the toolbox answers', answers)
  return keptFile()
}
