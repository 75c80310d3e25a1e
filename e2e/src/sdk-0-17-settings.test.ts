import type { Daytona, Sandbox } from 'daytona-sdk-0-17'
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { call, sdk17 } from './testing/shared-system.ts'

let daytona: Daytona

beforeAll(() => {
  daytona = sdk17()
})

async function post(path: string, body?: object): Promise<number> {
  const json = body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
  return (await call(path, { method: 'POST', ...json })).status
}

async function shown(id: string): Promise<Record<string, unknown>> {
  return (await (await call(`/workspace/${id}`)).json()) as Record<string, unknown>
}

function until(id: string, field: string, value: unknown): Promise<void> {
  return eventually(`${field} is ${value}`, async () => (await shown(id))[field] === value)
}

describe('settings and operations through SDK 0.17', () => {
  let sandbox: Sandbox

  it('an interval is shown once it is set', async () => {
    sandbox = await daytona.create({ language: 'python' })
    await sandbox.setAutostopInterval(60)
    expect((await sandbox.info()).autoStopInterval).toBe(60)
    expect(await post(`/workspace/${sandbox.id}/autoarchive/120`)).toBe(200)
    expect(await post(`/workspace/${sandbox.id}/public/true`)).toBe(201)
    expect(await shown(sandbox.id)).toMatchObject({ autoStopInterval: 60, autoArchiveInterval: 120, public: true })
  })

  it('more cpu and memory are there while it runs', async () => {
    expect(await post(`/workspace/${sandbox.id}/resize`, { cpu: 2, gpu: 0, memory: 2 })).toBe(201)
    await until(sandbox.id, 'state', 'started')
    expect((await sandbox.info()).resources).toMatchObject({ cpu: '2', memory: '2Gi' })
  })

  it.each(['backup', 'snapshot'])('a %s is made', async (name) => {
    expect(await post(`/workspace/${sandbox.id}/${name}`)).toBe(200)
    await until(sandbox.id, 'snapshotState', 'Completed')
  })

  it('what was archived has its files again', async () => {
    await sandbox.process.executeCommand('echo kept > kept.txt')
    await sandbox.stop()
    await sandbox.archive()
    await until(sandbox.id, 'state', 'archived')
    await sandbox.start()
    expect((await sandbox.process.executeCommand('cat kept.txt')).result).toBe('kept\n')
    await sandbox.delete()
  })
})
