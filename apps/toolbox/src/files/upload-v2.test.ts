import { readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { form, MULTIPART_HEADERS } from '../testing/multipart.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox, target } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const upload = (path: string | Buffer, body: Buffer | string, headers: Record<string, string> = {}) =>
  toolbox.call('POST', '/files/upload-v2', { query: { path }, headers, body: Buffer.from(body) })

/** Sends `bytes` of a body that does not end, and waits until a part of it is on disk. */
async function beginUpload(path: string, bytes: number) {
  const stream = toolbox.peer.request(
    { method: 'POST', path: target('/files/upload-v2', { path }), headers: {} },
    { onResponse() {}, onData() {}, onEnd() {}, onReset() {} },
  )
  stream.write(Buffer.alloc(bytes, 'n'))
  await expect
    .poll(async () => (await readdir(toolbox.folder)).filter((name) => name.endsWith('.part')))
    .toHaveLength(1)
  return stream
}

describe('the newer upload', () => {
  it('takes the field file of a form', async () => {
    const response = await upload('new/one', form('content'), MULTIPART_HEADERS)
    expect(response.status).toBe(200)
    expect(bodyOf(response)).toEqual({ name: 'one', path: at('new/one'), type: 'file' })
    expect(await readFile(at('new/one'), 'utf8')).toBe('content')
  })

  it.each([{}, { 'content-type': 'application/octet-stream' }, { 'content-type': 'text/plain' }])(
    'takes a bare body with %j',
    async (headers) => {
      const bytes = Buffer.from(Array.from({ length: 1_000_000 }, (_, index) => (index * 31) % 256))
      expect((await upload('new/two', bytes, headers)).status).toBe(200)
      expect((await readFile(at('new/two'))).equals(bytes)).toBe(true)
      expect((await upload('empty', '', headers)).status).toBe(200)
      expect((await stat(at('empty'))).size).toBe(0)
      expect(await readdir(at('new'))).toEqual(['two'])
    },
  )

  it.each([
    ['a form without the field', form('x', { field: 'other' }), 'BAD_REQUEST'],
    ['half a form', form('content').subarray(0, 150), 'BAD_REQUEST'],
  ])('refuses %s', async (_what, body, code) => {
    expect(bodyOf(await upload('f', body, MULTIPART_HEADERS))).toMatchObject({ statusCode: 400, code })
    expect(await readdir(toolbox.folder)).toEqual([])
  })

  it('writes through a link and refuses a folder', async () => {
    await symlink('real', at('link'))
    expect((await upload('link', 'x')).status).toBe(200)
    expect(await readFile(at('real'), 'utf8')).toBe('x')
    expect(bodyOf(await upload('.', 'x'))).toMatchObject({ statusCode: 400, code: 'INVALID_FILE_PATH' })
  })

  it.each([1, 70_000, 900_000])('cut after %i bytes leaves the old file and nothing else', async (bytes) => {
    await writeFile(at('file'), 'old')
    const stream = await beginUpload('file', bytes)
    stream.reset()
    await expect.poll(() => readdir(toolbox.folder)).toEqual(['file'])
    expect(await readFile(at('file'), 'utf8')).toBe('old')
    expect(toolbox.errors).toEqual([])
  })

  it('meeting another to the same path leaves one of them whole', async () => {
    const contents = ['a', 'b', 'c', 'd'].map((letter) => letter.repeat(500_000))
    const responses = await Promise.all(contents.map((content) => upload('same', content)))
    expect(responses.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(contents).toContain(await readFile(at('same'), 'utf8'))
    expect(await readdir(toolbox.folder)).toEqual(['same'])
  })

  it('clears away what a killed toolbox left in the folder long ago, and nothing newer or else', async () => {
    const [old, fresh, other] = ['.atoll-0123456789abcdef.part', '.atoll-fedcba9876543210.part', '.atoll-x.part']
    for (const name of [old, fresh, other]) await writeFile(at(name ?? ''), 'half')
    for (const name of [old, other]) await utimes(at(name ?? ''), 1, 1)
    await upload('file', 'x')
    expect((await readdir(toolbox.folder)).sort()).toEqual([fresh, other, 'file'].sort())
  })
})
