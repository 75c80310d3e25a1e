import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Sandbox } from '@daytonaio/sdk'
import { DaytonaNotFoundError } from '@daytonaio/sdk/src/errors/DaytonaError'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { memoryOf, resetPeakMemory } from './testing/memory.ts'
import type { System } from './testing/system.ts'
import { startSystem } from './testing/system.ts'

const LARGE_BYTES = 200 * 1024 * 1024
/** The most memory that the API may take for the file: far less than the file's size. */
const MEMORY_GROWTH_MAX_BYTES = 100 * 1024 * 1024

let system: System
let sandbox: Sandbox
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-e2e-files-'))
  system = await startSystem()
  sandbox = await system.daytona().create()
})
afterAll(async () => {
  rmSync(folder, { recursive: true })
  expect(await system.end()).toEqual([])
})

describe('files through the official SDK', () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

  it.each([
    ['text', Buffer.from('plain, with ü\n')],
    ['what looks like JSON', Buffer.from('{ "a" : 1 }\n')],
    ['every byte', everyByte],
    ['nothing', Buffer.alloc(0)],
  ])('come back as they went: %s', async (name, content) => {
    await sandbox.fs.uploadFile(content, `roundtrip/${name}.bin`)
    expect(await sandbox.fs.downloadFile(`roundtrip/${name}.bin`)).toEqual(content)
  })

  it('come back byte by byte over plain HTTP too', async () => {
    await sandbox.fs.uploadFile(everyByte, '/tmp/every byte')
    const answer = await system.call(`/toolbox/${sandbox.id}/toolbox/files/download?path=/tmp/every%20byte`)
    expect(answer.headers.get('content-type')).toBe('application/octet-stream')
    expect(Buffer.from(await answer.arrayBuffer())).toEqual(everyByte)
  })

  it('go up alone over plain HTTP', async () => {
    const form = new FormData()
    form.append('file', new Blob([everyByte]), 'given')
    const path = `/toolbox/${sandbox.id}/toolbox/files/upload?path=alone/file.bin`
    expect((await system.call(path, { method: 'POST', body: form })).status).toBe(200)
    expect(await sandbox.fs.downloadFile('alone/file.bin')).toEqual(everyByte)
  })

  it('go up from disk, several at once', async () => {
    for (const name of ['one', 'two']) writeFileSync(join(folder, name), `file ${name}`)
    await sandbox.fs.uploadFiles([
      { source: join(folder, 'one'), destination: 'several/one' },
      { source: join(folder, 'two'), destination: 'several/deeper/two' },
      { source: Buffer.from('file three'), destination: 'several/three' },
    ])
    const { result } = await sandbox.process.executeCommand('cat several/one several/deeper/two several/three')
    expect(result).toBe('file onefile twofile three')
  })

  it('are listed, described, moved and deleted; folders are made', async () => {
    await sandbox.fs.createFolder('made/here', '750')
    await sandbox.fs.uploadFile(Buffer.from('12345'), 'made/here/.hidden')
    expect(await sandbox.fs.getFileDetails('made/here')).toMatchObject({ isDir: true, permissions: '0750' })
    expect(await sandbox.fs.listFiles('made/here')).toMatchObject([{ name: '.hidden', size: 5, isDir: false }])
    await sandbox.fs.moveFiles('made/here/.hidden', 'made/shown')
    expect((await sandbox.fs.listFiles('made')).map((file) => file.name).sort()).toEqual(['here', 'shown'])
    await sandbox.fs.deleteFile('made/shown')
    await expect(sandbox.fs.getFileDetails('made/shown')).rejects.toBeInstanceOf(DaytonaNotFoundError)
  })

  it('obey the permissions of the sandbox’s user', async () => {
    await expect(sandbox.fs.uploadFile(Buffer.from('x'), '/usr/bin/planted')).rejects.toThrow()
    await expect(sandbox.fs.listFiles('/root')).rejects.toThrow()
  })
})

describe('a file of 200 MB', () => {
  it('goes up and down byte for byte, through little memory of the API', async () => {
    const [sent, received] = [join(folder, 'sent'), join(folder, 'received')]
    // The bytes are random, so that no part equals another.
    writeFileSync(sent, randomBytes(LARGE_BYTES))
    const { api } = system.atoll.pids()
    const before = memoryOf(api).now
    resetPeakMemory(api)
    await sandbox.fs.uploadFile(sent, '/tmp/large')
    await sandbox.fs.downloadFile('/tmp/large', received)
    expect(hashOf(received)).toBe(hashOf(sent))
    expect(memoryOf(api).peak - before).toBeLessThan(MEMORY_GROWTH_MAX_BYTES)
  }, 180_000)
})

function hashOf(path: string): string {
  return createHash('sha256').update(readFileSync(path)).digest('hex')
}
