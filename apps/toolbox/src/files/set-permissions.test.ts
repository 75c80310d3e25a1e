import { execFileSync } from 'node:child_process'
import { chmod, lstat, mkdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { TestToolbox } from '../testing/test-toolbox.ts'
import { bodyOf, createTestToolbox } from '../testing/test-toolbox.ts'

let toolbox: TestToolbox
beforeEach(async () => {
  toolbox = await createTestToolbox()
  await writeFile(at('file'), '')
  await chmod(at('file'), 0o600)
})
afterEach(() => toolbox[Symbol.asyncDispose]())

const at = (name: string) => join(toolbox.folder, name)
const set = async (query: Record<string, string | Buffer>) => {
  const response = await toolbox.call('POST', '/files/permissions', { query })
  return response.status === 200 ? 200 : [response.status, bodyOf(response)['code']]
}
const modeOf = async (name: string) => ((await stat(at(name))).mode & 0o7777).toString(8)
const isRoot = process.getuid?.() === 0

describe('setting permissions', () => {
  it.each([
    ['755', '755'],
    ['0644', '644'],
    ['0o4711', '4711'],
    ['0', '0'],
    ['', '600'],
  ])('gives the mode %j', async (mode, expected) => {
    expect(await set({ path: 'file', mode })).toBe(200)
    expect(await modeOf('file')).toBe(expected)
  })

  it('follows a link, and needs not open a pipe', async () => {
    await symlink('file', at('link'))
    execFileSync('mkfifo', [at('pipe')])
    expect(await set({ path: 'link', mode: '640' })).toBe(200)
    expect(await set({ path: 'pipe', mode: '640' })).toBe(200)
    expect([await modeOf('file'), await modeOf('pipe')]).toEqual(['640', '640'])
    expect((await lstat(at('link'))).isSymbolicLink()).toBe(true)
  })

  it('takes names and ids, and keeps what is not named', async () => {
    const own = await stat(at('file'))
    const [name = ''] = (await readFile('/etc/passwd', 'utf8'))
      .split('\n')
      .filter((l) => l.split(':')[2] === `${own.uid}`)
    expect(await set({ path: 'file', owner: name.split(':')[0] ?? '' })).toBe(200)
    expect(await set({ path: 'file', group: String(own.gid) })).toBe(200)
    expect(await stat(at('file'))).toMatchObject({ uid: own.uid, gid: own.gid, mode: own.mode })
  })

  it.runIf(isRoot)('gives a file away, with the set-user-id bit if asked (needs root)', async () => {
    await mkdir(at('folder'))
    expect(await set({ path: 'file', owner: 'nobody', group: '4321', mode: '4755' })).toBe(200)
    expect(await stat(at('file'))).toMatchObject({ uid: 65534, gid: 4321 })
    expect(await modeOf('file')).toBe('4755')
    expect(await set({ path: 'folder', owner: '1234' })).toBe(200)
    expect(await stat(at('folder'))).toMatchObject({ uid: 1234, gid: 0 })
    expect(await set({ path: 'file', group: 'daemon' })).toBe(200)
    expect(await stat(at('file'))).toMatchObject({ uid: 65534, gid: 1 })
  })

  it.each([
    [{ path: 'missing', mode: '755' }, [404, 'FILE_NOT_FOUND']],
    [{ path: 'missing' }, [404, 'FILE_NOT_FOUND']],
    [{ path: 'file', mode: '888' }, [400, 'VALIDATION_FAILED']],
    [{ path: 'file', mode: '700', owner: 'no-such-user' }, [400, 'BAD_REQUEST']],
    [{ path: 'file', mode: '700', group: 'no-such-group' }, [400, 'BAD_REQUEST']],
    [{ path: 'file', mode: '700', owner: '4294967295' }, [400, 'BAD_REQUEST']],
    [{ path: 'file', mode: '700', owner: '-1' }, [400, 'BAD_REQUEST']],
    [{ path: 'file', mode: '700', owner: '99999999999999999999' }, [400, 'BAD_REQUEST']],
    [{ path: 'file', mode: '700', owner: 'root:x:0' }, [400, 'BAD_REQUEST']],
  ])('refuses %j and changes nothing', async (query, refusal) => {
    expect(await set(query)).toEqual(refusal)
    expect(await modeOf('file')).toBe('600')
  })
})
