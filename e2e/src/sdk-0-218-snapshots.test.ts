import { randomUUID } from 'node:crypto'
import type { Daytona } from 'daytona-sdk-0-218'
import { Image } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { call, sdk218 } from './testing/shared-system.ts'
import type { TinyRoot } from './testing/tiny-root.ts'
import { createTinyRoot } from './testing/tiny-root.ts'

let daytona: Daytona
let root: TinyRoot
const mark = randomUUID()

beforeAll(async () => {
  daytona = sdk218()
  root = await createTinyRoot(`hello ${mark}\n`)
})
afterAll(async () => {
  await daytona[Symbol.asyncDispose]()
  await root[Symbol.asyncDispose]()
})

describe('snapshots through SDK 0.218', () => {
  it('a sandbox becomes one, as it is then, and goes on', async () => {
    const sandbox = await daytona.create({})
    await sandbox.process.executeCommand(`echo ${mark} > /home/daytona/mark`)
    const name = `sandboxes/${mark}`
    await sandbox.createSnapshot(name)
    expect(sandbox.state).toBe('started')
    await sandbox.process.executeCommand('rm /home/daytona/mark')
    const snapshot = await daytona.snapshot.get(name)
    expect(snapshot).toMatchObject({ state: 'active', sourceSandboxId: sandbox.id })
    const copy = await daytona.create({ snapshot: name })
    expect((await copy.process.executeCommand('cat /home/daytona/mark')).result).toBe(`${mark}\n`)
    const { items } = await daytona.snapshot.list({ sourceSandboxId: sandbox.id })
    expect(items.map((item) => item.name)).toEqual([name])
    await sandbox.delete()
    await copy.delete()
    await daytona.snapshot.delete(name)
  })

  it('a Dockerfile becomes one, with its log', async () => {
    const image = Image.base('scratch').addLocalDir(root.folder, '/').runCommands('echo newest > /newest')
    const name = `tests/${mark}:newest`
    const lines: string[] = []
    await daytona.snapshot.create({ name, image }, { onLogs: (line) => lines.push(line) })
    expect(lines.join('\n')).toContain('echo newest')
    await call(`/snapshots/${encodeURIComponent(name)}/deactivate`, { method: 'POST' })
    expect((await daytona.snapshot.activate(name)).state).toBe('active')
    await daytona.snapshot.delete(name)
  })

  it('a sandbox brings its own build, and its log', async () => {
    const image = Image.base('scratch').addLocalDir(root.folder, '/').runCommands(`echo ${mark} > /own`)
    const lines: string[] = []
    const sandbox = await daytona.create({ image }, { timeout: 120, onSnapshotCreateLogs: (line) => lines.push(line) })
    expect((await sandbox.process.executeCommand('cat /own')).result).toBe(`${mark}\n`)
    const url = (await (await call(`/sandbox/${sandbox.id}/build-logs-url`)).json()) as { url: string }
    expect(url.url).toContain(sandbox.id)
    const whole = await (await call(`/sandbox/${sandbox.id}/build-logs`)).text()
    expect(whole).toContain(`echo ${mark}`)
    expect((await call(`/workspace/${sandbox.id}/build-logs`)).status).toBe(200)
    await sandbox.delete()
  })
})

describe('volumes through SDK 0.218', () => {
  it('are made, mounted in part, and outlive their sandbox', async () => {
    const made = await daytona.volume.get(`newest-${mark}`, true)
    const ready = async () => (await daytona.volume.get(`newest-${mark}`)).state === 'ready'
    await eventually('it is ready', ready)
    const volumes = [{ volumeId: made.id, mountPath: '/home/daytona/part', subpath: 'some/part' }]
    const sandbox = await daytona.create({ volumes })
    await sandbox.process.executeCommand('echo kept > /home/daytona/part/file')
    await sandbox.delete(60, true)
    const whole = await daytona.create({ volumes: [{ volumeId: made.id, mountPath: '/home/daytona/whole' }] })
    expect((await whole.process.executeCommand('cat /home/daytona/whole/some/part/file')).result).toBe('kept\n')
    await expect(daytona.volume.delete(made)).rejects.toThrow('Volume is used')
    await whole.delete(60, true)
    await daytona.volume.delete(made)
    await eventually('it is gone', async () => (await daytona.volume.list()).every(({ id }) => id !== made.id))
  })
})
