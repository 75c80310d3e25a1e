import { randomUUID } from 'node:crypto'
import type { Daytona, Sandbox } from 'daytona-sdk-0-218'
import { DaytonaConflictError, DaytonaNotFoundError } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { call, sdk218, sharedSystem } from './testing/shared-system.ts'

let daytona: Daytona

beforeAll(() => {
  daytona = sdk218()
})
afterAll(() => daytona[Symbol.asyncDispose]())

async function listed(labels: Record<string, string>, limit?: number): Promise<string[]> {
  const ids: string[] = []
  for await (const sandbox of daytona.list({ labels, ...(limit === undefined ? {} : { limit }) })) ids.push(sandbox.id)
  return ids
}

describe('a sandbox through SDK 0.218', () => {
  const mark = randomUUID()
  const name = `life of ${mark}`
  let sandbox: Sandbox

  it('is started when create returns', async () => {
    sandbox = await daytona.create({ name, labels: { mark }, envVars: { GREETING: 'hello' } })
    expect(sandbox).toMatchObject({
      ...{ name, state: 'started', snapshot: 'host', user: 'daytona', target: 'us', public: false },
      ...{ cpu: 1, memory: 1, disk: 3, env: { GREETING: 'hello' }, networkBlockAll: false, recoverable: false },
      toolboxProxyUrl: `${sharedSystem().url}/api/toolbox-proxy`,
    })
    expect((await sandbox.process.executeCommand('echo "$GREETING|$(pwd)"')).result).toBe('hello|/home/daytona\n')
  })

  it('is found by its id and its name, which nobody else can have', async () => {
    expect((await daytona.get(sandbox.id)).name).toBe(name)
    expect((await daytona.get(name)).id).toBe(sandbox.id)
    await expect(daytona.create({ name })).rejects.toBeInstanceOf(DaytonaConflictError)
    await expect(daytona.get('no such name')).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })

  it('is listed by its labels, over as many pages as it takes', async () => {
    const second = await daytona.create({ labels: { mark, second: 'yes' } })
    expect((await listed({ mark }, 1)).sort()).toEqual([sandbox.id, second.id].sort())
    expect(await listed({ mark, second: 'yes' })).toEqual([second.id])
    await second.delete(60, true)
    expect(second.state).toBe('destroyed')
  })

  it('takes new labels', async () => {
    expect(await sandbox.setLabels({ mark, more: 'yes' })).toEqual({ mark, more: 'yes' })
    expect(await listed({ more: 'yes', mark })).toEqual([sandbox.id])
  })

  it('is used when its client says so', async () => {
    const before = Date.parse(sandbox.lastActivityAt ?? '')
    await sandbox.refreshActivity()
    await sandbox.refreshData()
    expect(Date.parse(sandbox.lastActivityAt ?? '')).toBeGreaterThan(before)
  })

  it('has a preview link, whose token a start changes', async () => {
    const first = await sandbox.getPreviewLink(3000)
    expect(new URL(first.url).hostname).toBe(`3000-${sandbox.id}.localhost`)
    await sandbox.process.executeCommand('echo kept > kept.txt')
    await sandbox.stop()
    expect(sandbox.state).toBe('stopped')
    await sandbox.start()
    expect(sandbox.state).toBe('started')
    expect((await sandbox.getPreviewLink(3000)).token).not.toBe(first.token)
    expect((await sandbox.process.executeCommand('cat kept.txt')).result).toBe('kept\n')
  })

  it('is gone when delete has waited, and its name is free', async () => {
    await sandbox.delete(60, true)
    expect(sandbox.state).toBe('destroyed')
    expect(await listed({ mark })).toEqual([])
    await expect(daytona.get(name)).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })
})

describe('around it', () => {
  it('the toolbox’s URL can be asked for, and what the server is', async () => {
    const url = `${sharedSystem().url}/api/toolbox-proxy`
    const sandbox = await daytona.create()
    expect(await (await call(`/sandbox/${sandbox.id}/toolbox-proxy-url`)).json()).toEqual({ url })
    await sandbox.delete()
    expect(await (await call('/config')).json()).toMatchObject({ proxyToolboxUrl: url, defaultSnapshot: 'host' })
  })

  it('whether the server is ready can be asked', async () => {
    const answer = await call('/health/ready')
    expect([answer.status, await answer.json()]).toEqual([200, expect.objectContaining({ status: 'ok' })])
  })

  it('clients between the generations count pages by number', async () => {
    const answer = await call('/sandbox/paginated?limit=1')
    expect(await answer.json()).toMatchObject({ page: 1, items: expect.any(Array), total: expect.any(Number) })
  })
})
