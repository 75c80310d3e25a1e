import { execFileSync } from 'node:child_process'
import { mkdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import type { BufferedResponse } from '@atoll/tunnel'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collectedBufferBytes } from '../testing/collected-memory.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox, target } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const download = (path: string | Buffer, headers: Record<string, string> = {}): Promise<BufferedResponse> =>
  toolbox.call('GET', '/files/download', { query: { path }, headers })

describe('downloading a file', () => {
  it('gives its bytes, their number and its name', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256))
    await writeFile(at('data.bin'), bytes)
    const response = await download('data.bin')
    expect(response.status).toBe(200)
    expect(response.body.equals(bytes)).toBe(true)
    expect(response.headers).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': '300000',
      'content-disposition': `attachment; filename="data.bin"; filename*=UTF-8''data.bin`,
      'accept-ranges': 'bytes',
    })
  })

  it('answers HEAD with the same head', async () => {
    await writeFile(at('f'), 'hello')
    const response = await toolbox.call('HEAD', '/files/download', { query: { path: 'f' } })
    expect(response).toMatchObject({ status: 200, headers: { 'content-length': '5' }, body: Buffer.alloc(0) })
  })

  it('gives nothing for an empty file, and what /proc holds though its size says 0', async () => {
    await writeFile(at('empty'), '')
    expect((await download('empty')).body).toHaveLength(0)
    expect((await download('/proc/version')).body).toEqual(await readFile('/proc/version'))
  })

  it.each([
    [
      'a\r\nSet-Cookie: x=1',
      `attachment; filename="a__Set-Cookie: x=1"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20x%3D1`,
    ],
    ['"; x="', `attachment; filename="_; x=_"; filename*=UTF-8''%22%3B%20x%3D%22`],
    ["it's-日本", `attachment; filename="it's-__"; filename*=UTF-8''it%27s-%E6%97%A5%E6%9C%AC`],
    ['back\\slash%41', `attachment; filename="back_slash_41"; filename*=UTF-8''back%5Cslash%2541`],
  ])('names %j safely', async (name, expected) => {
    await writeFile(at(name), 'x')
    const response = await download(name)
    expect(response.status).toBe(200)
    expect(response.headers['content-disposition']).toBe(expected)
  })

  it('finds a name that is no UTF-8', async () => {
    const name = Buffer.from([0x66, 0xff, 0x80])
    await writeFile(Buffer.concat([Buffer.from(`${toolbox.folder}/`), name]), 'found')
    const response = await download(name)
    expect(response.body.toString()).toBe('found')
  })

  it('follows links and dots as the kernel does', async () => {
    await mkdir(at('real/deep'), { recursive: true })
    await writeFile(at('real/file'), 'here')
    await symlink('real/deep', at('link'))
    expect((await download('link/../file')).body.toString()).toBe('here')
    expect((await download(`~/../${toolbox.folder.split('/').at(-1)}/real/file`)).body.toString()).toBe('here')
  })
})

describe('a Range', () => {
  beforeEach(() => writeFile(at('ten'), '0123456789'))

  it.each([
    ['bytes=0-0', '0', 'bytes 0-0/10'],
    ['bytes=2-4', '234', 'bytes 2-4/10'],
    ['bytes=7-', '789', 'bytes 7-9/10'],
    ['bytes=-3', '789', 'bytes 7-9/10'],
    ['bytes=-99', '0123456789', 'bytes 0-9/10'],
    ['bytes=5-99999999999999999999', '56789', 'bytes 5-9/10'],
  ])('%s is answered 206', async (range, body, contentRange) => {
    const response = await download('ten', { range })
    expect(response.status).toBe(206)
    expect(response.body.toString()).toBe(body)
    expect(response.headers).toMatchObject({ 'content-range': contentRange, 'content-length': String(body.length) })
  })

  it.each(['bytes=10-', 'bytes=99-100', 'bytes=-0'])('%s is answered 416', async (range) => {
    const response = await download('ten', { range })
    expect(response.status).toBe(416)
    expect(response.headers['content-range']).toBe('bytes */10')
    expect(bodyOf(response)).toMatchObject({ statusCode: 416, code: 'RANGE_NOT_SATISFIABLE' })
  })

  it.each(['bytes=4-2', 'bytes=a-b', 'bytes=-', 'lines=1-2', 'bytes=0-1,3-4', 'bytes'])(
    '%s is ignored',
    async (range) => {
      const response = await download('ten', { range })
      expect(response.status).toBe(200)
      expect(response.body.toString()).toBe('0123456789')
    },
  )

  it('is honoured under If-Range only while the file is the same', async () => {
    const { etag } = (await download('ten')).headers
    const headers = { range: 'bytes=0-1', 'if-range': String(etag) }
    expect((await download('ten', headers)).status).toBe(206)
    await utimes(at('ten'), new Date(), new Date(1))
    expect((await download('ten', headers)).status).toBe(200)
  })
})

describe('what is no file', () => {
  it.each(['pipe', 'socket', '/dev/zero', '/dev/full', 'folder', 'missing'])('%s is refused at once', async (name) => {
    execFileSync('mkfifo', [at('pipe')])
    await mkdir(at('folder'))
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(at('socket'), resolve))
    const response = await download(name)
    server.close()
    expect(response.status).toBe(name === 'missing' ? 404 : 400)
    expect(bodyOf(response)['message']).toContain(name)
  })
})

describe('a reader', () => {
  const BIG = 64 * 1024 * 1024

  it('that stalls holds the download up within bounds, and one that leaves ends it', async () => {
    const held = collectedBufferBytes()
    await writeFile(at('big'), '')
    await truncate(at('big'), BIG)
    const started = await new Promise<{ reset: () => void }>((resolve, reject) => {
      const stream = toolbox.peer.request(
        { method: 'GET', path: target('/files/download', { path: 'big' }), headers: {} },
        {
          onResponse: () => {},
          onData() {
            stream.pause()
            resolve({ reset: () => stream.reset() })
          },
          onEnd() {},
          onReset: reject,
        },
      )
      stream.end()
    })
    // The toolbox answers other calls meanwhile, and does not pile up the file in memory.
    expect((await toolbox.call('GET', '/project-dir')).status).toBe(200)
    expect(process.memoryUsage().arrayBuffers - held).toBeLessThan(BIG / 2)
    started.reset()
    expect((await toolbox.call('GET', '/project-dir')).status).toBe(200)
    expect(toolbox.errors).toEqual([])
  })

  it('of a file that shrinks is told by the end of the exchange', async () => {
    await writeFile(at('big'), '')
    await truncate(at('big'), BIG)
    const outcome = await new Promise<string>((resolve) => {
      let bytes = 0
      const stream = toolbox.peer.request(
        { method: 'GET', path: target('/files/download', { path: 'big' }), headers: {} },
        {
          onResponse: () => {},
          onData(chunk) {
            if (bytes === 0) {
              stream.pause()
              truncate(at('big'), 1).then(() => stream.resume(), resolve)
            }
            bytes += chunk.length
          },
          onEnd: () => resolve(`ended after ${bytes}`),
          onReset: (error) => resolve(error.code),
        },
      )
      stream.end()
    })
    expect(outcome).toBe('HANDLER_FAILED')
  })
})
