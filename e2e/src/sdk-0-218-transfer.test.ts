import { createHash, randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import { DaytonaFileAccessDeniedError, DaytonaFileNotFoundError } from 'daytona-sdk-0-218'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { shell } from './testing/in-sandbox.ts'
import { ownSandbox218 } from './testing/own-sandbox.ts'
import { describeSearch } from './testing/search-scenario.ts'
import { call } from './testing/shared-system.ts'

const STREAMED_BYTES = 20 * 1024 * 1024

const own = ownSandbox218()
let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'atoll-e2e-transfer-'))
})
afterAll(() => rmSync(folder, { recursive: true }))

describeSearch('SDK 0.218', own)

describe('files through SDK 0.218', () => {
  const everyByte = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))

  it('come down to a buffer and to disk', async () => {
    const { fs } = own.sandbox
    await fs.uploadFile(everyByte, 'down/every byte')
    expect(await fs.downloadFile('down/every byte')).toEqual(everyByte)
    await fs.downloadFile('down/every byte', join(folder, 'down'))
    expect(readFileSync(join(folder, 'down'))).toEqual(everyByte)
    await expect(fs.downloadFile('down/none')).rejects.toBeInstanceOf(DaytonaFileNotFoundError)
  })

  it('come down several at once, and each that cannot says why', async () => {
    const { fs } = own.sandbox
    await fs.uploadFile(Buffer.from('one'), 'several/one')
    await fs.uploadFile(Buffer.alloc(0), 'several/empty')
    const destination = join(folder, 'one')
    const wanted = [
      ...[{ source: 'several/one', destination }, { source: 'several/empty' }],
      ...[{ source: 'several/none' }, { source: '/root/secret' }],
    ]
    expect(await fs.downloadFiles(wanted)).toMatchObject([
      { source: 'several/one', result: destination },
      { source: 'several/empty', result: Buffer.alloc(0) },
      { source: 'several/none', errorDetails: { statusCode: 404, code: 'FILE_NOT_FOUND' } },
      { source: '/root/secret', errorDetails: { statusCode: 403, code: 'FILE_ACCESS_DENIED' } },
    ])
    expect(readFileSync(destination, 'utf8')).toBe('one')
    await expect(fs.downloadFile('/root/secret')).rejects.toBeInstanceOf(DaytonaFileAccessDeniedError)
  })

  it('go up and come down as streams, and tell how far they are', async () => {
    const { fs } = own.sandbox
    const sent = randomBytes(STREAMED_BYTES)
    let [up, down] = [0, 0]
    const parts = Array.from({ length: 20 }, (_, part) =>
      sent.subarray((part * sent.length) / 20, ((part + 1) * sent.length) / 20),
    )
    await fs.uploadFileStream(Readable.from(parts), 'streamed/large', {
      onProgress: ({ bytesSent }) => {
        up = bytesSent
      },
    })
    const stream = await fs.downloadFileStream('streamed/large', {
      onProgress: ({ bytesReceived }) => {
        down = bytesReceived
      },
    })
    expect(hashOf(await buffer(stream))).toBe(hashOf(sent))
    expect({ up, down }).toEqual({ up: STREAMED_BYTES, down: STREAMED_BYTES })
    await fs.uploadFileStream(Buffer.from('short'), 'streamed/short')
    expect(await text(await fs.downloadFileStream('streamed/short'))).toBe('short')
    await expect(fs.downloadFileStream('streamed/none')).rejects.toBeInstanceOf(DaytonaFileNotFoundError)
  })

  it('go up by the newest path, over plain HTTP', async () => {
    const form = new FormData()
    form.append('file', new Blob([everyByte]), 'given')
    const path = `/toolbox-proxy/${own.sandbox.id}/files/upload-v2?path=newest/file`
    expect((await call(path, { method: 'POST', body: form })).status).toBe(200)
    expect(await own.sandbox.fs.downloadFile('newest/file')).toEqual(everyByte)
  })

  it('go up and come down by signed URLs, to anybody who has one, until the key is rotated', async () => {
    const path = '/home/daytona/signed/a b+ü'
    const [up, down] = [await own.sandbox.uploadUrl(path, 60), await own.sandbox.downloadUrl(path)]
    const form = new FormData()
    form.append('file', new Blob([everyByte]), 'given')
    expect((await fetch(up, { method: 'POST', body: form })).status).toBe(200)
    expect(Buffer.from(await (await fetch(down)).arrayBuffer())).toEqual(everyByte)
    expect((await fetch(down, { headers: { range: 'bytes=1-2' } })).status).toBe(206)
    await own.sandbox.rotateSigningKey()
    expect((await fetch(down)).status).toBe(401)
    expect((await fetch(await own.sandbox.downloadUrl(path, 0))).status).toBe(200)
  })

  it('that stop going up half way leave nothing', async () => {
    const { fs } = own.sandbox
    const stop = new AbortController()
    const source = Readable.from(
      (async function* () {
        yield Buffer.alloc(1024 * 1024)
        stop.abort()
        yield Buffer.alloc(1024 * 1024)
      })(),
    )
    await expect(fs.uploadFileStream(source, 'stopped/file', { signal: stop.signal })).rejects.toThrow()
    expect(await shell(own.sandbox, 'find stopped -type f 2>/dev/null | wc -l')).toBe('0')
  })

  it('are listed in depth, and deleted with their folder', async () => {
    const { fs } = own.sandbox
    await fs.uploadFile(Buffer.from('x'), 'tree/a/b/leaf')
    const paths = async (depth?: number) =>
      (await fs.listFiles('tree', depth === undefined ? {} : { depth })).map(({ path }) => path)
    const at = (...names: string[]) => names.map((name) => `/home/daytona/tree/${name}`)
    expect((await paths(2)).sort()).toEqual(at('a', 'a/b'))
    expect((await paths(3)).sort()).toEqual(at('a', 'a/b', 'a/b/leaf'))
    expect((await fs.listFiles('tree')).map(({ name }) => name)).toEqual(['a'])
    await expect(fs.deleteFile('tree')).rejects.toThrow()
    await fs.deleteFile('tree', true)
    await expect(fs.getFileDetails('tree')).rejects.toBeInstanceOf(DaytonaFileNotFoundError)
  })
})

function hashOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex')
}
