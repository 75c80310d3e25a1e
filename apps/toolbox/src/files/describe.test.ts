import { execFileSync } from 'node:child_process'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const info = async (path: string) => bodyOf(await toolbox.call('GET', '/files/info', { query: { path } }))

describe('describing a file', () => {
  it('follows a link and keeps the name asked for', async () => {
    await writeFile(at('target'), '12345')
    await symlink('target', at('link'))
    expect(await info('link')).toMatchObject({ name: 'link', size: 5, isDir: false })
  })

  it.each([
    ['/', '/'],
    ['.', undefined],
    ['~', undefined],
    ['sub/..', undefined],
    ['sub/', 'sub'],
    ['sub/.', 'sub'],
    ['./sub//', 'sub'],
  ])('names %j by what it is', async (path, expected) => {
    await mkdir(at('sub'))
    const name = expected ?? toolbox.folder.slice(toolbox.folder.lastIndexOf('/') + 1)
    expect(await info(path)).toMatchObject({ name, isDir: true })
  })

  it('prints special properties as Go does', async () => {
    await mkdir(at('shared'))
    await chmod(at('shared'), 0o3777)
    execFileSync('mkfifo', ['-m', '644', at('pipe')])
    expect(await info('shared')).toMatchObject({ mode: 'dgtrwxrwxrwx', permissions: '3777' })
    expect(await info('pipe')).toMatchObject({ mode: 'prw-r--r--' })
    expect(await info('/dev/null')).toMatchObject({ mode: 'Dcrw-rw-rw-' })
  })

  it.each([
    ['missing', 404, 'no such file or directory: missing'],
    ['file/below', 400, 'not a directory: file/below'],
    ['loop', 400, 'too many levels of symbolic links: loop'],
    ['x'.repeat(256), 400, 'a file name must not be longer than 255 bytes'],
  ])('%s is an error', async (path, statusCode, message) => {
    await writeFile(at('file'), '')
    await symlink('loop', at('loop'))
    expect(await info(path)).toMatchObject({ statusCode, message })
  })
})
