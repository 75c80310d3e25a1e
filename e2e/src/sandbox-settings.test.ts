import type { Daytona, Sandbox } from '@daytonaio/sdk'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { DIGEST_FILES, MAKE_FILES } from './testing/file-digest.ts'
import { call, sdk23 } from './testing/shared-system.ts'

let daytona: Daytona

beforeAll(() => {
  daytona = sdk23()
})

async function post(path: string): Promise<Response> {
  return await call(path, { method: 'POST' })
}

async function shown(id: string): Promise<Record<string, unknown>> {
  return (await (await call(`/sandbox/${id}`)).json()) as Record<string, unknown>
}

function untilState(id: string, state: string): Promise<void> {
  return eventually(`${id} is ${state}`, async () => (await shown(id))['state'] === state)
}

describe('settings through SDK 0.23', () => {
  it('are shown once they are set', async () => {
    const sandbox = await daytona.create({ autoStopInterval: 5 })
    await sandbox.setAutostopInterval(60)
    await sandbox.setAutoArchiveInterval(120)
    await sandbox.setAutoDeleteInterval(180)
    await sandbox.refreshData()
    expect(sandbox).toMatchObject({ autoStopInterval: 60, autoArchiveInterval: 120, autoDeleteInterval: 180 })
    expect((await post(`/sandbox/${sandbox.id}/public/true`)).status).toBe(201)
    await sandbox.refreshData()
    expect(sandbox.public).toBe(true)
    await sandbox.delete()
  })

  it('may say that a stopped sandbox goes', async () => {
    const sandbox = await daytona.create({ autoDeleteInterval: 0 })
    expect((await post(`/sandbox/${sandbox.id}/stop`)).status).toBe(200)
    await untilState(sandbox.id, 'destroyed')
  })
})

describe('an archived sandbox', () => {
  let sandbox: Sandbox
  let before: string

  it('is archived from what was stopped, and not from what runs', async () => {
    // Root can give files away.
    sandbox = await daytona.create({ user: 'root' })
    await expect(sandbox.archive()).rejects.toThrow('Sandbox is not stopped')
    expect(await sandbox.process.executeCommand(MAKE_FILES)).toMatchObject({ exitCode: 0 })
    before = (await sandbox.process.executeCommand(DIGEST_FILES)).result
    for (const fact of ['hard link', '12345, 54321', '1100000000123456789', 'user.note', 'security.capability']) {
      expect(before).toContain(fact)
    }
    expect(before).not.toContain('.profile')
    await sandbox.stop()
    await sandbox.archive()
    expect(['archiving', 'archived']).toContain(sandbox.state)
    await untilState(sandbox.id, 'archived')
    expect(await shown(sandbox.id)).toMatchObject({ backupState: 'Completed' })
    expect(await shown(sandbox.id)).not.toHaveProperty('runnerId')
  })

  it('has everything again once it is started: owners, modes, times, links, holes, attributes, deletions', async () => {
    await sandbox.start()
    expect(sandbox.state).toBe('started')
    expect((await sandbox.process.executeCommand(DIGEST_FILES)).result).toBe(before)
    await sandbox.delete()
  })

  it('is deleted without being started', async () => {
    const other = await daytona.create()
    await other.stop()
    await other.archive()
    await untilState(other.id, 'archived')
    await other.delete()
    await untilState(other.id, 'destroyed')
  })
})

describe('a backup', () => {
  it('is made of what goes on running', async () => {
    const sandbox = await daytona.create()
    await sandbox.process.executeCommand('echo kept > kept.txt')
    const answer = await post(`/sandbox/${sandbox.id}/backup`)
    expect([answer.status, ((await answer.json()) as { id: string }).id]).toEqual([200, sandbox.id])
    await eventually('the backup is whole', async () => (await shown(sandbox.id))['backupState'] === 'Completed')
    expect((await sandbox.process.executeCommand('cat kept.txt')).result).toBe('kept\n')
    await sandbox.delete()
  })
})
