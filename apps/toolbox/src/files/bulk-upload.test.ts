import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { BOUNDARY, MULTIPART_HEADERS } from '../testing/multipart.ts'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const upload = (body: Buffer | string) =>
  toolbox.call('POST', '/files/bulk-upload', { headers: MULTIPART_HEADERS, body: Buffer.from(body) })

function field(name: string, text: string): string {
  return `--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n`
}

function file(index: number, content: string): string {
  const disposition = `Content-Disposition: form-data; name="files[${index}].file"; filename="x"`
  return `--${BOUNDARY}\r\n${disposition}\r\nContent-Type: application/octet-stream\r\n\r\n${content}\r\n`
}

const END = `--${BOUNDARY}--\r\n`

describe('uploading several files', () => {
  it('writes each to its path, creates parents and replaces what was there', async () => {
    await writeFile(at('old'), 'old')
    const large = 'x'.repeat(2_000_000)
    const pairs = [
      ['deep/er/one', 'one'],
      [at('old'), 'new'],
      ['empty', ''],
      ['large', large],
    ]
    const body = pairs.map(([path, text], index) => field(`files[${index}].path`, path ?? '') + file(index, text ?? ''))
    const response = await upload(body.join('') + END)
    expect(response.status).toBe(200)
    const files = pairs.map(([path = '', text = '']) => ({ path: resolve(toolbox.folder, path), bytes: text.length }))
    expect(bodyOf(response)).toEqual({ files })
    expect(await readFile(at('deep/er/one'), 'utf8')).toBe('one')
    expect(await readFile(at('old'), 'utf8')).toBe('new')
    expect(await readFile(at('empty'), 'utf8')).toBe('')
    expect((await readFile(at('large'), 'utf8')) === large).toBe(true)
    expect((await readdir(toolbox.folder)).sort()).toEqual(['deep', 'empty', 'large', 'old'])
  })

  it('lets the later of two for one path win', async () => {
    const parts = ['first', 'second'].map((text, index) => field(`files[${index}].path`, 'same') + file(index, text))
    expect((await upload(parts.join('') + END)).status).toBe(200)
    expect(await readFile(at('same'), 'utf8')).toBe('second')
  })

  it('takes hundreds of small ones in one form', async () => {
    const names = Array.from({ length: 400 }, (_, index) => `many/${index}`)
    const parts = names.map((name, index) => field(`files[${index}].path`, name) + file(index, name))
    expect((await upload(parts.join('') + END)).status).toBe(200)
    expect(await readdir(at('many'))).toHaveLength(400)
    expect(await readFile(at('many/399'), 'utf8')).toBe('many/399')
  })

  it('keeps the good ones and names each that failed', async () => {
    await mkdir(at('folder'))
    await writeFile(at('plain'), '')
    const parts = [
      field('files[0].path', 'folder') + file(0, 'x'.repeat(500_000)),
      field('files[1].path', 'good') + file(1, 'kept'),
      field('files[2].path', 'plain/below') + file(2, 'x'),
      file(3, 'no path'),
      field('files[4].path', 'also good') + file(4, 'kept'),
    ]
    const response = await upload(parts.join('') + END)
    expect(bodyOf(response)).toMatchObject({ statusCode: 400, code: 'BAD_REQUEST' })
    const { message, errors } = bodyOf(response) as { message: string; errors: string[] }
    expect(errors).toEqual([
      'folder: the target is a directory',
      expect.stringMatching(/plain\/below/),
      'a file without its .path before it',
    ])
    expect(message).toMatch(
      /^not written: folder: the target is a directory; .*plain\/below.*; a file without its \.path/,
    )
    expect((await readdir(toolbox.folder)).sort()).toEqual(['also good', 'folder', 'good', 'plain'])
  })

  it.each([
    ['nothing', END],
    ['another field', field('note', 'x') + END],
    ['a path and no file', field('files[0].path', 'x') + END],
    ['a path that is cut', field('files[0].path', 'x'.repeat(5000)) + file(0, 'x') + END],
  ])('refuses a form with %s', async (_what, body) => {
    expect(bodyOf(await upload(body))).toMatchObject({ statusCode: 400, code: 'BAD_REQUEST' })
    expect(await readdir(toolbox.folder)).toEqual([])
  })

  it('cut short anywhere keeps whole files only', async () => {
    const begun = field('files[0].path', 'first') + file(0, 'whole') + field('files[1].path', 'second')
    const body = begun + file(1, 'never'.repeat(30)) + END
    const contentAt = body.indexOf('never')
    for (let length = contentAt + 1; length < body.length - END.length; length += 7) {
      expect((await upload(body.slice(0, length))).status).toBe(400)
      expect(await readdir(toolbox.folder)).toEqual(['first'])
    }
    expect(toolbox.errors).toEqual([])
  })
})
