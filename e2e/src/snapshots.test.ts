import { randomUUID } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Daytona } from '@daytonaio/sdk'
import { Image } from '@daytonaio/sdk'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './testing/eventually.ts'
import { startImageRegistry } from './testing/image-registry.ts'
import { call, sdk23 } from './testing/shared-system.ts'
import type { TinyRoot } from './testing/tiny-root.ts'
import { createTinyRoot } from './testing/tiny-root.ts'

let daytona: Daytona
let root: TinyRoot
const mark = randomUUID()

interface Shown {
  id: string
  state: string
  size: number | null
  errorReason: string | null
}

beforeAll(async () => {
  daytona = sdk23()
  root = await createTinyRoot(`hello ${mark}\n`)
})
afterAll(() => root[Symbol.asyncDispose]())

async function snapshotOf(name: string): Promise<Shown> {
  return (await (await call(`/snapshots/${encodeURIComponent(name)}`)).json()) as Shown
}

async function untilActive(name: string): Promise<Shown> {
  await eventually(`${name} is made`, async () => ['active', 'error'].includes((await snapshotOf(name)).state), 120_000)
  const snapshot = await snapshotOf(name)
  expect([snapshot.state, snapshot.errorReason]).toEqual(['active', null])
  return snapshot
}

function upload(name: string, body: Buffer<ArrayBuffer>): Promise<Response> {
  return call(`/snapshots/upload?name=${encodeURIComponent(name)}`, { method: 'POST', body })
}

describe('a snapshot of an uploaded root folder', () => {
  const name = `tests/${mark}:archive`

  it('becomes active, is listed and found by its name', async () => {
    expect((await upload(name, await root.pack())).status).toBe(200)
    const { size } = await untilActive(name)
    expect(size).toBeGreaterThan(0)
    expect(await daytona.snapshot.get(name)).toMatchObject({ name, general: false, cpu: 1, mem: 1, disk: 3 })
    const names = (await daytona.snapshot.list()).map((snapshot) => snapshot.name)
    expect(names).toContain(name)
    expect(names).toContain('host')
  })

  it('is what sandboxes of it are made from', async () => {
    const sandbox = await daytona.create({ snapshot: name })
    expect((await sandbox.process.executeCommand('cat /greeting')).result).toBe(`hello ${mark}\n`)
    await sandbox.delete()
  })

  it('can be deactivated and activated, and deleted', async () => {
    expect((await call(`/snapshots/${encodeURIComponent(name)}/deactivate`, { method: 'POST' })).status).toBe(204)
    await expect(daytona.create({ snapshot: name })).rejects.toThrow(`Snapshot ${name} is inactive`)
    expect((await call(`/snapshots/${encodeURIComponent(name)}/activate`, { method: 'POST' })).status).toBe(200)
    await daytona.snapshot.delete(await daytona.snapshot.get(name))
    const isGone = async () => (await call(`/snapshots/${encodeURIComponent(name)}`)).status === 404
    await eventually('it is gone', isGone)
    await expect(daytona.snapshot.get(name)).rejects.toThrow('not found')
  })

  it('is toggled, and made general by the administrator', async () => {
    const other = `tests/${mark}:flags`
    await upload(other, await root.pack())
    await untilActive(other)
    const patch = async (path: string, body: object) => {
      const init = { method: 'PATCH', body: JSON.stringify(body) }
      return (await (await call(`/snapshots/${encodeURIComponent(other)}/${path}`, init)).json()) as object
    }
    expect(await patch('toggle', { enabled: false })).toMatchObject({ enabled: false })
    expect(await patch('general', { general: true })).toMatchObject({ general: true })
    expect(await patch('general', { general: false })).toMatchObject({ general: false })
    await daytona.snapshot.delete(await daytona.snapshot.get(other))
  })

  it('of a folder of the host needs a runner that is allowed to read it', async () => {
    const name = `tests/${mark}:folder`
    const body = JSON.stringify({ name, directory: '/etc' })
    expect((await call('/snapshots/directory', { method: 'POST', body })).status).toBe(200)
    await eventually('it has failed', async () => (await snapshotOf(name)).state === 'error')
    expect((await snapshotOf(name)).errorReason).toContain('No runner can read directories')
  })

  it('is in error when what is uploaded is no archive', async () => {
    const broken = `tests/${mark}:broken`
    await upload(broken, Buffer.alloc(4_096, 'x'))
    await eventually('it has failed', async () => (await snapshotOf(broken)).state === 'error')
    expect((await snapshotOf(broken)).errorReason).not.toBe('')
  })
})

describe('a snapshot of a Dockerfile, through SDK 0.23', () => {
  it('is built from a context that the SDK uploads, with its log', async () => {
    await writeFile(join(root.folder, 'built'), 'from a context\n')
    const image = Image.base('scratch').addLocalDir(root.folder, '/').runCommands('echo "step done" > /step')
    const name = `tests/${mark}:built`
    const lines: string[] = []
    await daytona.snapshot.create(
      { name, image, resources: { cpu: 1, memory: 1, disk: 2 } },
      { onLogs: (line) => lines.push(line) },
    )
    expect(lines[0]).toContain('build_pending')
    expect(lines.at(-1)).toBe(`Created snapshot ${name} (active)`)
    expect(lines.join('\n')).toContain('echo "step done"')
    const sandbox = await daytona.create({ snapshot: name })
    const { result } = await sandbox.process.executeCommand('cat /built /step')
    expect(result).toBe('from a context\nstep done\n')
    await sandbox.delete()
  })

  it('that fails says why', async () => {
    const image = Image.base('scratch').addLocalDir(root.folder, '/').runCommands('exit 7')
    const name = `tests/${mark}:failing`
    await expect(daytona.snapshot.create({ name, image })).rejects.toThrow('Failed to create snapshot')
    expect((await snapshotOf(name)).state).toBe('build_failed')
    const log = await (await call(`/snapshots/${encodeURIComponent(name)}/build-logs`)).text()
    expect(log).toContain('exit 7')
  })

  it('may come with a sandbox', async () => {
    const lines: string[] = []
    const image = Image.base('scratch').addLocalDir(root.folder, '/').runCommands('echo mine > /mine')
    const sandbox = await daytona.create({ image }, { timeout: 120, onSnapshotCreateLogs: (line) => lines.push(line) })
    expect((await sandbox.process.executeCommand('cat /mine')).result).toBe('mine\n')
    expect(lines.join('\n')).toContain('echo mine')
    await sandbox.delete()
  })

  it('is refused where the rules of names are not kept', async () => {
    await expect(daytona.snapshot.create({ name: 'x', image: 'debian:latest' })).rejects.toThrow('latest')
    await expect(daytona.snapshot.create({ name: 'x', image: 'debian' })).rejects.toThrow('must include a tag')
  })
})

describe('a snapshot of an image, through SDK 0.23', () => {
  it("is pulled with what its organization logs in with, and has the image's files and variables", async () => {
    const login = { username: 'puller', password: randomUUID() }
    const layer = await root.pack()
    await using registry = await startImageRegistry({ ...login, layer, config: { Env: [`MARK=${mark}`] } })
    const name = `tests/${mark}:pulled`
    const image = `${registry.host}/tiny:1`
    await expect(daytona.snapshot.create({ name: `${name}-denied`, image })).rejects.toThrow(
      'Failed to create snapshot',
    )
    const body = { ...login, name: `registry ${mark}`, url: `http://${registry.host}`, project: '' }
    const made = await call('/docker-registry', { method: 'POST', body: JSON.stringify(body) })
    expect(made.status).toBe(201)
    const { id } = (await made.json()) as { id: string }
    expect(await daytona.snapshot.create({ name, image })).toMatchObject({ state: 'active', imageName: image })
    const sandbox = await daytona.create({ snapshot: name })
    const { result } = await sandbox.process.executeCommand('cat /greeting; echo "$MARK"')
    expect(result).toBe(`hello ${mark}\n${mark}\n`)
    await sandbox.delete()
    await call(`/docker-registry/${id}`, { method: 'DELETE' })
  })
})

describe('images, as the workspace generation has them', () => {
  it('are snapshots by another name', async () => {
    const name = `tests/${mark}:image`
    const body = JSON.stringify({ name, buildInfo: { dockerfileContent: `FROM scratch\nLABEL mark=${mark}` } })
    expect((await call('/images/build', { method: 'POST', body })).status).toBe(200)
    const list = (await (await call('/images?limit=1000')).json()) as { items: { name: string; id: string }[] }
    const image = list.items.find((item) => item.name === name)
    expect(image).toBeDefined()
    for (const [method, path, sent] of [
      ['GET', '', undefined],
      ['PATCH', '/toggle', { enabled: false }],
      ['PATCH', '/general', { general: false }],
      ['DELETE', '', undefined],
    ] as const) {
      const init = sent === undefined ? { method } : { method, body: JSON.stringify(sent) }
      expect((await call(`/images/${image?.id}${path}`, init)).status, `${method} ${path}`).toBe(200)
    }
    const pulled = await call('/images', { method: 'POST', body: JSON.stringify({ name: 'localhost:1/none:1' }) })
    expect(pulled.status).toBe(200)
    await eventually('it has failed', async () => (await snapshotOf('localhost:1/none:1')).state === 'error', 60_000)
  })
})
