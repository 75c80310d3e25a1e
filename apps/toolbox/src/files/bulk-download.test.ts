import { execFileSync } from 'node:child_process'
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { ErrorBody } from '@atoll/protocol'
import Busboy from '@fastify/busboy'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { collectedBufferBytes } from '../testing/collected-memory.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const call = (paths: unknown) => toolbox.call('POST', '/files/bulk-download', { json: { paths } })

interface Part {
  field: string
  filename: string
  type: string
  content: Buffer
}

/** Returns the parts of the answer, as a parser of forms reads them. */
async function download(paths: string[]): Promise<Part[]> {
  const response = await call(paths)
  expect(response.status).toBe(200)
  const type = String(response.headers['content-type'])
  expect(type).toMatch(/^multipart\/form-data; boundary=\S+$/)
  const parts: Part[] = []
  const parser = new Busboy({ headers: { 'content-type': type }, preservePath: true, isPartAFile: () => true })
  parser.on('file', (field, stream, ...[filename, , type]) => {
    const pieces: Buffer[] = []
    stream.on('data', (piece: Buffer) => pieces.push(piece))
    stream.on('end', () => parts.push({ field, filename, type, content: Buffer.concat(pieces) }))
  })
  await pipeline(Readable.from([response.body]), parser)
  return parts
}

describe('downloading several files', () => {
  it('sends a part for each path, in order, named by the path as it was asked for', async () => {
    const bytes = Buffer.from(Array.from({ length: 300_000 }, (_, index) => (index * 7) % 256))
    await mkdir(at('sub'))
    await writeFile(at('sub/data.bin'), bytes)
    await writeFile(at('empty'), '')
    await symlink('sub/data.bin', at('link'))
    const paths = ['./sub/data.bin', 'empty', at('link'), 'empty', '/proc/version']
    const parts = await download(paths)
    expect(parts.map(({ field, filename, type }) => [field, filename, type])).toEqual(
      paths.map((path) => ['file', path, 'application/octet-stream']),
    )
    expect(parts.map(({ content }) => content.length)).toEqual([300_000, 0, 300_000, 0, expect.any(Number)])
    expect(parts[2]?.content.equals(bytes)).toBe(true)
    expect(parts[4]?.content.toString()).toMatch(/^Linux/)
  })

  it('sends the length of each in the same piece as its other headers', async () => {
    await writeFile(at('five'), '12345')
    const text = (await call(['five'])).body.toString()
    expect(text).toMatch(
      /^--(\S+)\r\nContent-Disposition: form-data; name="file"; filename="five"; filename\*=UTF-8''five\r\nContent-Type: application\/octet-stream\r\nContent-Length: 5\r\n\r\n12345\r\n--\1--\r\n$/,
    )
  })

  it('sends an error as a part with a file name, and goes on', async () => {
    await writeFile(at('good'), 'good')
    await mkdir(at('folder'))
    execFileSync('mkfifo', [at('pipe')])
    const paths = ['missing', 'folder', 'pipe', '/dev/zero', 'good/below', 'a\0b', 'x'.repeat(300), 'good']
    const parts = await download(paths)
    const codes = parts.map(({ field, content }) => (field === 'file' ? 'file' : JSON.parse(content.toString()).code))
    expect(codes).toEqual(['FILE_NOT_FOUND', ...Array.from({ length: 6 }, () => 'INVALID_FILE_PATH'), 'file'])
    const [missing] = parts
    expect(missing).toMatchObject({ field: 'error', filename: 'missing', type: 'application/json' })
    const body: unknown = JSON.parse(missing?.content.toString() ?? '')
    expect(Value.Errors(ErrorBody, body)).toEqual([])
    expect(body).toMatchObject({ statusCode: 404, source: 'DAYTONA_DAEMON' })
    expect(toolbox.errors).toEqual([])
  })

  it.each(['日本.txt', 'a"b', 'back\\slash', 'semi;colon', "it's", 'a\r\nX-Evil: 1', '%41', ' x '])(
    'names %j so that it is read back',
    async (name) => {
      await writeFile(at(name), 'x')
      const text = (await call([name])).body.toString()
      const [head = ''] = text.split('\r\n\r\n')
      expect(head.split('\r\n')).toHaveLength(4)
      const [, encoded = ''] = /filename\*=UTF-8''(\S+)/.exec(head) ?? []
      expect(decodeURIComponent(encoded)).toBe(name)
    },
  )

  it('survives a path that is no text', async () => {
    const response = await toolbox.call('POST', '/files/bulk-download', { body: '{"paths":["\\ud800"]}' })
    expect(response.body.toString()).toContain('FILE_NOT_FOUND')
  })

  it.each([[[]], ['x'], [[1]], [undefined]])('refuses %j for paths', async (paths) => {
    expect(bodyOf(await call(paths))).toMatchObject({ statusCode: 400 })
  })

  it('breaks off when a file shrinks under it, and holds little of a large one', async () => {
    const held = collectedBufferBytes()
    await writeFile(at('big'), '')
    await truncate(at('big'), 64 * 1024 * 1024)
    const outcome = await new Promise<string>((resolve) => {
      let bytes = 0
      const stream = toolbox.peer.request(
        { method: 'POST', path: '/files/bulk-download', headers: {} },
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
      stream.end(Buffer.from(JSON.stringify({ paths: ['big'] })))
    })
    expect(outcome).toBe('HANDLER_FAILED')
    expect(process.memoryUsage().arrayBuffers - held).toBeLessThan(32 * 1024 * 1024)
  })
})
