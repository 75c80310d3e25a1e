import { execFileSync } from 'node:child_process'
import { chmod, mkdir, symlink, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FileInfo } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const Listing = Type.Array(FileInfo)
const at = (name: string | Buffer) => Buffer.concat([Buffer.from(`${toolbox.folder}/`), Buffer.from(name)])

async function list(path?: string | Buffer) {
  const response = await toolbox.call('GET', '/files', path === undefined ? {} : { query: { path } })
  expect(response.status).toBe(200)
  return Value.Parse(Listing, JSON.parse(response.body.toString()))
}

const names = async (path?: string | Buffer) => (await list(path)).map(({ name }) => name)

describe('listing a directory', () => {
  it('gives one level of the work directory, sorted, with hidden entries', async () => {
    await mkdir(at('b/inner'), { recursive: true })
    await writeFile(at('.hidden'), '')
    await writeFile(at('a.txt'), 'hello')
    expect(await names()).toEqual(['.hidden', 'a.txt', 'b'])
    expect(await names('')).toEqual(['.hidden', 'a.txt', 'b'])
    expect(await names('b')).toEqual(['inner'])
    expect(await names('b/inner')).toEqual([])
  })

  it('describes each entry, following links', async () => {
    await writeFile(at('file'), 'hello')
    await chmod(at('file'), 0o640)
    await utimes(at('file'), new Date(0), new Date('2025-07-11T10:00:00.123Z'))
    await symlink('file', at('link'))
    const [file, link] = await list()
    const owner = String(process.getuid?.())
    expect(file).toEqual({
      name: 'file',
      path: join(toolbox.folder, 'file'),
      size: 5,
      mode: '-rw-r-----',
      modTime: '2025-07-11T10:00:00.123Z',
      modifiedAt: '2025-07-11T10:00:00.123Z',
      isDir: false,
      owner,
      group: String(process.getgid?.()),
      permissions: '0640',
    })
    expect(link).toEqual({ ...file, name: 'link', path: join(toolbox.folder, 'link') })
  })

  it('leaves out links that lead nowhere', async () => {
    await symlink('nowhere', at('dangling'))
    await symlink('loop', at('loop'))
    await writeFile(at('file'), '')
    await symlink('file/below', at('below-a-file'))
    expect(await names()).toEqual(['file'])
  })

  it('shows pipes without waiting for anybody to write to them', async () => {
    execFileSync('mkfifo', [at('pipe').toString()])
    expect((await list()).map(({ mode }) => mode[0])).toEqual(['p'])
  })

  it('gives odd names as they are, and bytes that are no UTF-8 as U+FFFD', async () => {
    const odd = ['a\nb', ' ', '"quoted"', 'x'.repeat(255), 'naïve-ü-日本-🦀', '-rf', '$(id)']
    for (const name of odd) await writeFile(at(name), '')
    await writeFile(at(Buffer.from([0x61, 0xff, 0x62])), '')
    expect((await names()).sort()).toEqual([...odd, 'a\ufffdb'].sort())
  })

  it('enters a directory whose name is no UTF-8', async () => {
    const name = Buffer.from([0xe9, 0x74, 0xe9])
    await mkdir(at(name))
    await writeFile(at(Buffer.concat([name, Buffer.from('/inside')])), '')
    expect(await names(name)).toEqual(['inside'])
  })

  it('streams a directory of many entries, in order', async () => {
    const many = Array.from({ length: 1000 }, (_, index) => `f${String(index).padStart(4, '0')}`)
    await Promise.all(many.map((name) => writeFile(at(name), '')))
    expect(await names()).toEqual(many)
  })

  it('streams a directory of which nothing is left to show', async () => {
    await Promise.all(Array.from({ length: 300 }, (_, index) => symlink('nowhere', join(toolbox.folder, `l${index}`))))
    expect(await names()).toEqual([])
  })

  describe('with a depth', () => {
    const paths = async (depth: string, path = '.') => {
      const response = await toolbox.call('GET', '/files', { query: { path, depth } })
      expect(response.status).toBe(200)
      const entries = Value.Parse(Listing, JSON.parse(response.body.toString()))
      return entries.map((entry) => entry.path?.replace(`${toolbox.folder}/`, ''))
    }

    it('gives each folder and behind it what lies below, down to it', async () => {
      await mkdir(at('a/b/c/d'), { recursive: true })
      await writeFile(at('a/b/file'), '')
      await writeFile(at('a-file'), '')
      await writeFile(at('z'), '')
      expect(await paths('1')).toEqual(['a', 'a-file', 'z'])
      expect(await paths('2')).toEqual(['a', 'a/b', 'a-file', 'z'])
      expect(await paths('3')).toEqual(['a', 'a/b', 'a/b/c', 'a/b/file', 'a-file', 'z'])
      expect(await paths('64', 'a/b')).toEqual(['a/b/c', 'a/b/c/d', 'a/b/file'])
    })

    it('shows links to folders and enters none, so that loops end', async () => {
      await mkdir(at('real/sub'), { recursive: true })
      await symlink('..', at('real/sub/loop'))
      await symlink('real', at('link'))
      expect(await paths('64')).toEqual(['link', 'real', 'real/sub', 'real/sub/loop'])
      expect(await paths('64', 'link')).toEqual(['link/sub', 'link/sub/loop'])
    })

    it('streams a large tree', async () => {
      const folders = Array.from({ length: 20 }, (_, index) => `d${String(index).padStart(2, '0')}`)
      for (const folder of folders) {
        await mkdir(at(folder))
        await Promise.all(Array.from({ length: 150 }, (_, index) => writeFile(at(`${folder}/${1000 + index}`), '')))
      }
      const expected = folders.flatMap((folder) => [
        folder,
        ...Array.from({ length: 150 }, (_, index) => `${folder}/${1000 + index}`),
      ])
      expect(await paths('2')).toEqual(expected)
    })

    it.each(['0', '-1', '65', '1.5', 'all', '99999999999999999999'])('of %s is refused', async (depth) => {
      const response = await toolbox.call('GET', '/files', { query: { depth } })
      expect(bodyOf(response)).toMatchObject({ statusCode: 400, code: 'VALIDATION_FAILED' })
    })
  })

  it.each([
    ['missing', 404, 'FILE_NOT_FOUND'],
    ['file', 400, 'INVALID_FILE_PATH'],
  ])('refuses what is a %s', async (path, status, code) => {
    await writeFile(at('file'), '')
    const response = await toolbox.call('GET', '/files', { query: { path } })
    expect(response.status).toBe(status)
    expect(bodyOf(response)).toMatchObject({ statusCode: status, code })
  })
})
