import { execFileSync } from 'node:child_process'
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  symlink,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { ReplaceResult } from '@atoll/protocol'
import { Type } from 'typebox'
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

const Results = Type.Array(ReplaceResult)
const at = (name: string) => join(toolbox.folder, name)
const call = (files: string[], pattern: string, newValue: string) =>
  toolbox.call('POST', '/files/replace', { json: { files, pattern, newValue } })

async function replace(files: string[], pattern: string, newValue: string) {
  const response = await call(files, pattern, newValue)
  expect(response.status).toBe(200)
  return Value.Parse(Results, JSON.parse(response.body.toString()))
}

describe('replacing a text', () => {
  it('replaces it wherever it stands, literally, and tells of each file in order', async () => {
    await writeFile(at('b'), 'a.c abc a.c\na.c')
    await writeFile(at('a'), 'none')
    expect(await replace(['b', 'a', at('b')], 'a.c', '$&\\1')).toEqual([
      { file: 'b', success: true },
      { file: 'a', success: true },
      { file: at('b'), success: true },
    ])
    expect(await readFile(at('b'), 'utf8')).toBe('$&\\1 abc $&\\1\n$&\\1')
    expect((await readdir(toolbox.folder)).sort()).toEqual(['a', 'b'])
  })

  it.each([
    { before: 'aaaa', pattern: 'aa', newValue: 'b', after: 'bb' },
    { before: 'aaa', pattern: 'aa', newValue: 'b', after: 'ba' },
    { before: 'abab', pattern: 'ab', newValue: '', after: '' },
    { before: 'line\nline\n', pattern: 'e\nl', newValue: 'E\nL', after: 'linE\nLine\n' },
    { before: '日本', pattern: '日', newValue: 'ü', after: 'ü本' },
  ])('turns $before into $after', async ({ before, pattern, newValue, after }) => {
    await writeFile(at('f'), before)
    await replace(['f'], pattern, newValue)
    expect(await readFile(at('f'), 'utf8')).toBe(after)
  })

  it('keeps every other byte of a binary file, and finds what lies across two reads', async () => {
    const filler = Buffer.from(Array.from({ length: 64 * 1024 - 3 }, (_, index) => (index * 7) % 256))
    const text = Buffer.from('needle')
    const parts = [filler, text, filler, filler, text, text, Buffer.from([0xff, 0, 0xfe])]
    await writeFile(at('binary'), Buffer.concat(parts))
    await replace(['binary'], 'needle', 'longer than before')
    const expected = parts.map((part) => (part === text ? Buffer.from('longer than before') : part))
    expect((await readFile(at('binary'))).equals(Buffer.concat(expected))).toBe(true)
  })

  it('takes texts longer than what is read at a time', async () => {
    const text = 'ab'.repeat(100_000)
    await writeFile(at('f'), `a${text}${text}b${text.slice(1)}`)
    await replace(['f'], text, 'x')
    expect((await readFile(at('f'), 'utf8')) === `axxb${text.slice(1)}`).toBe(true)
  })

  it('keeps mode and owner, and does not touch a file without the text', async () => {
    await writeFile(at('script'), 'old')
    await chmod(at('script'), 0o751)
    if (process.getuid?.() === 0) await chown(at('script'), 1234, 4321)
    await utimes(at('script'), 1, 2)
    const before = await stat(at('script'))
    await replace(['script'], 'none', 'x')
    expect(await stat(at('script'))).toMatchObject({ ino: before.ino, mtimeMs: 2000 })
    await replace(['script'], 'old', 'new')
    const { uid, gid, mode } = await stat(at('script'))
    expect({ uid, gid, mode }).toEqual({ uid: before.uid, gid: before.gid, mode: before.mode })
  })

  it('keeps a link and replaces in what it leads to; hard links part', async () => {
    await mkdir(at('elsewhere'))
    await writeFile(at('elsewhere/target'), 'old')
    await symlink('elsewhere/target', at('link'))
    await link(at('elsewhere/target'), at('hard'))
    await replace(['link'], 'old', 'new')
    expect((await lstat(at('link'))).isSymbolicLink()).toBe(true)
    expect(await readFile(at('elsewhere/target'), 'utf8')).toBe('new')
    expect(await readFile(at('hard'), 'utf8')).toBe('old')
  })

  it('tells of each failure beside the successes, and waits for no pipe', async () => {
    await writeFile(at('good'), 'old')
    await mkdir(at('folder'))
    execFileSync('mkfifo', [at('pipe')])
    await symlink('loop', at('loop'))
    const files = ['missing', 'folder', 'pipe', '/dev/zero', 'loop', '', 'a\0b', 'good/below', 'good']
    const results = await replace(files, 'old', 'new')
    expect(results.map(({ file, success }) => [file, success])).toEqual(files.map((file) => [file, file === 'good']))
    expect(results.map(({ error }) => error)).toEqual([
      'no such file or directory: missing',
      'is a directory: folder',
      'not a regular file: pipe',
      'not a regular file: /dev/zero',
      'too many levels of symbolic links: loop',
      'a file name must not be empty',
      'a path must not contain a NUL byte',
      'not a directory: good/below',
      undefined,
    ])
    expect(await readFile(at('good'), 'utf8')).toBe('new')
    expect(toolbox.errors).toEqual([])
  })

  it.each([
    [{ files: ['f'], pattern: '', newValue: '' }, 'VALIDATION_FAILED'],
    [{ files: 'f', pattern: 'x', newValue: '' }, 'VALIDATION_FAILED'],
    [{ files: ['f'], pattern: 'x' }, 'VALIDATION_FAILED'],
    [{ files: ['f'], pattern: 'x'.repeat(1024 * 1024 + 1), newValue: '' }, 'BAD_REQUEST'],
  ])('refuses a body that is no request', async (json, code) => {
    const response = await toolbox.call('POST', '/files/replace', { json })
    expect(bodyOf(response)).toMatchObject({ statusCode: 400, code })
  })

  it('answers no files with no results', async () => {
    expect(await replace([], 'x', 'y')).toEqual([])
  })

  it('does not lose what two change at once', async () => {
    await writeFile(at('f'), 'a b')
    await truncate(at('f'), 2_000_000)
    const [first, second] = await Promise.all([replace(['f'], 'a', 'A'), replace([at('./f')], 'b', 'B')])
    expect([...first, ...second].map(({ success }) => success)).toEqual([true, true])
    expect((await readFile(at('f'))).subarray(0, 3).toString()).toBe('A B')
  })

  it('holds little of a large file, and leaves the old one when the caller leaves', async () => {
    const held = collectedBufferBytes()
    await writeFile(at('large'), 'needle')
    await truncate(at('large'), 1024 * 1024 * 1024)
    const file = await open(at('large'), 'r+')
    await file.write('needle', 700 * 1024 * 1024)
    await file.close()
    const before = await stat(at('large'))
    const stop = new AbortController()
    const answered = toolbox.call('POST', '/files/replace', {
      json: { files: ['large'], pattern: 'needle', newValue: 'NEEDLE' },
      signal: stop.signal,
    })
    await expect.poll(async () => (await readdir(toolbox.folder)).length).toBe(2)
    expect(process.memoryUsage().arrayBuffers - held).toBeLessThan(64 * 1024 * 1024)
    stop.abort()
    await expect(answered).rejects.toThrow()
    await expect.poll(async () => readdir(toolbox.folder)).toEqual(['large'])
    expect((await stat(at('large'))).ino).toBe(before.ino)
    expect(toolbox.errors).toEqual([])
  })
})
