import { execFileSync } from 'node:child_process'
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../../testing/test-toolbox.ts'
import { isEntered } from '../walk-tree.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string | Buffer) => Buffer.concat([Buffer.from(`${toolbox.folder}/`), Buffer.from(name)])
const call = (path: string | Buffer, pattern: string) =>
  toolbox.call('GET', '/files/search', { query: { path, pattern } })

/** Returns paths below the work directory, sorted. */
async function search(path: string | Buffer, pattern: string): Promise<string[]> {
  const response = await call(path, pattern)
  expect(`${response.status} ${response.body.subarray(0, 200)}`).toMatch(/^200/)
  const { files } = bodyOf(response) as { files: string[] }
  return files.map((file) => file.replace(`${toolbox.folder}/`, '')).sort()
}

describe('searching by name', () => {
  it('gives files, folders and links below, hidden ones too, by their base name', async () => {
    await mkdir(at('src/deep.ts'), { recursive: true })
    for (const name of ['a.ts', 'src/b.ts', 'src/b.tsx', 'src/deep.ts/.c.ts']) await writeFile(at(name), '')
    await symlink('nowhere', at('d.ts'))
    const all = ['a.ts', 'd.ts', 'src/b.ts', 'src/deep.ts', 'src/deep.ts/.c.ts']
    expect(await search('.', '*.ts')).toEqual(all)
    expect(await search(toolbox.folder, 'b.*')).toEqual(['src/b.ts', 'src/b.tsx'])
    expect(await search('src/', '*')).toEqual(['src/b.ts', 'src/b.tsx', 'src/deep.ts', 'src/deep.ts/.c.ts'])
    expect(await search('.', 'src/*')).toEqual([])
    expect(await search('.', 'none')).toEqual([])
  })

  it.each([
    ['a?c', ['abc', 'a日c']],
    ['a[b-d]c', ['abc']],
    ['a[^b]c', ['a日c']],
    ['a[!b]c', ['a日c']],
    ['a[b日]c', ['abc', 'a日c']],
    ['\\*', ['*']],
    ['[*]', ['*']],
    ['a*c*e', ['abcde']],
    ['*c', ['abc', 'a日c']],
    ['ABC', []],
    ['a[\\]]', ['a]']],
    ['[a-]b', ['-b']],
  ])('reads %s', async (pattern, expected) => {
    for (const name of ['abc', 'a日c', 'abcde', '*', 'a]', '-b']) await writeFile(at(name), '')
    expect(await search('.', pattern)).toEqual(expected)
  })

  it.each(['[', 'a[b', '[]', '[^]', 'a\\', '[a-'])('refuses the pattern %s', async (pattern) => {
    expect(bodyOf(await call('.', pattern))).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED' })
  })

  it('gets to the end of a pattern made to explode', async () => {
    await writeFile(at('a'.repeat(255)), '')
    expect(await search('.', `${'a*'.repeat(500)}b`)).toEqual([])
  })

  it('ends in a tree of looping links, and enters none but the one it starts at', async () => {
    await mkdir(at('real/sub'), { recursive: true })
    await symlink('..', at('real/sub/loop'))
    await symlink('real', at('link'))
    execFileSync('mkfifo', [at('real/loop-pipe').toString()])
    expect(await search('.', '*loop*')).toEqual(['real/loop-pipe', 'real/sub/loop'])
    expect(await search('link', 'loop')).toEqual(['link/sub/loop'])
  })

  it('shows names that are no UTF-8 as well as JSON can', async () => {
    await mkdir(at(Buffer.from([0xff])))
    await writeFile(at(Buffer.from([0xff, 0x2f, 0x61, 0xfe])), '')
    await writeFile(at('a\nb'), '')
    expect(await search('.', 'a*')).toEqual(['a\nb', '\ufffd/a\ufffd'])
    expect(await search(Buffer.from([0xff]), 'a?')).toEqual(['\ufffd/a\ufffd'])
  })

  it('leaves /proc, /sys and /dev to those who ask for them', async () => {
    const root = (await readdir('/', { withFileTypes: true })).map((entry) => ({ path: `/${entry.name}`, entry }))
    const entered = root.filter(isEntered).map(({ path }) => path)
    expect(entered).toContain('/etc')
    expect(entered.filter((path) => /^\/(dev|proc|sys)$/.test(path))).toEqual([])
    expect(await search('/dev', 'null')).toContain('/dev/null')
  })

  it.each([
    ['missing', 404, 'FILE_NOT_FOUND'],
    ['file', 400, 'INVALID_FILE_PATH'],
    ['pipe', 400, 'INVALID_FILE_PATH'],
  ])('refuses to look in what is a %s', async (path, statusCode, code) => {
    await writeFile(at('file'), '')
    execFileSync('mkfifo', [at('pipe').toString()])
    expect(bodyOf(await call(path, '*'))).toMatchObject({ statusCode, code })
  })
})
