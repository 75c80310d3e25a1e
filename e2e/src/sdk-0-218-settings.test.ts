import type { Daytona, Sandbox } from 'daytona-sdk-0-218'
import { DaytonaBadRequestError } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { sdk218 } from './testing/shared-system.ts'

let daytona: Daytona

beforeAll(() => {
  daytona = sdk218()
})
afterAll(() => daytona[Symbol.asyncDispose]())

async function run(sandbox: Sandbox, command: string): Promise<string> {
  return (await sandbox.process.executeCommand(command)).result.trim()
}

function untilState(sandbox: Sandbox, state: string, timeoutMs?: number): Promise<void> {
  const isThere = async () => {
    await sandbox.refreshData()
    return sandbox.state === state
  }
  return eventually(`${sandbox.id} is ${state}`, isThere, timeoutMs)
}

describe('settings through SDK 0.218', () => {
  it('are shown once they are set', async () => {
    const sandbox = await daytona.create()
    await sandbox.setAutostopInterval(60)
    await sandbox.setAutoArchiveInterval(0)
    await sandbox.setAutoDeleteInterval(-1)
    await sandbox.setTtl(90)
    await sandbox.refreshData()
    expect(sandbox).toMatchObject({ autoStopInterval: 60, autoArchiveInterval: 43_200, autoDeleteInterval: -1 })
    const leftMs = Date.parse(sandbox.autoDestroyAt ?? '') - Date.now()
    expect(leftMs / 60_000).toBeCloseTo(90, 0)
    await sandbox.setTtl(0)
    await sandbox.refreshData()
    expect(sandbox.autoDestroyAt).toBeUndefined()
    await sandbox.delete()
  })

  it('of the network are in force at once, and can be taken back', async () => {
    const sandbox = await daytona.create()
    const blocked = { networkBlockAll: true }
    await sandbox.updateNetworkSettings(blocked)
    expect(sandbox).toMatchObject({ ...blocked, state: 'started' })
    await sandbox.updateNetworkSettings({ networkBlockAll: false, networkAllowList: '10.0.0.0/8' })
    expect(sandbox).toMatchObject({ networkBlockAll: false, networkAllowList: '10.0.0.0/8' })
    await expect(sandbox.updateNetworkSettings({ domainAllowList: 'example.com' })).rejects.toBeInstanceOf(
      DaytonaBadRequestError,
    )
    await sandbox.delete()
  })
})

describe('operations through SDK 0.218', () => {
  it('a running sandbox gets more cpu and memory, a stopped one more disk', async () => {
    const sandbox = await daytona.create()
    await sandbox.resize({ cpu: 2, memory: 2 })
    expect(sandbox.state).toBe('started')
    await sandbox.refreshData()
    expect(sandbox).toMatchObject({ cpu: 2, memory: 2, disk: 3 })
    await expect(sandbox.resize({ memory: 1 })).rejects.toThrow('only be increased')
    await expect(sandbox.resize({ disk: 5 })).rejects.toThrow('while the sandbox is stopped')
    await sandbox.process.executeCommand('echo kept > kept.txt')
    await sandbox.stop()
    await sandbox.resize({ disk: 5 })
    expect(sandbox.state).toBe('stopped')
    await sandbox.start()
    expect(Number(await run(sandbox, 'df --output=size -BM / | tail -1 | tr -dc 0-9'))).toBeGreaterThan(4_500)
    expect(await run(sandbox, 'cat kept.txt')).toBe('kept')
    await sandbox.delete()
  })

  it('what was archived is restored, by its name, and once', async () => {
    const sandbox = await daytona.create({ name: `archived-${Date.now()}` })
    await sandbox.process.executeCommand('echo kept > kept.txt')
    await sandbox.stop(60, true)
    await sandbox.archive()
    await untilState(sandbox, 'archived')
    const again = await daytona.get(sandbox.name)
    const starts = await Promise.allSettled([again.start(), again.start()])
    expect(starts.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await run(again, 'cat kept.txt')).toBe('kept')
    await again.delete()
  })

  it('what is in no error is not recovered', async () => {
    const sandbox = await daytona.create()
    await expect(sandbox.recover()).rejects.toThrow('not in a recoverable error state')
    await sandbox.delete()
  })
})
