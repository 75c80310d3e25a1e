import { execFileSync } from 'node:child_process'
import {
  chmod,
  lutimes,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
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
const modeOf = async (path: string) => ((await stat(path)).mode & 0o7777).toString(8)

async function statusAndCode(method: string, path: string, query: Record<string, string | Buffer>) {
  const response = await toolbox.call(method, path, { query })
  return response.status === 200 ? [200, response.body.length] : [response.status, bodyOf(response)['code']]
}

describe('creating a folder', () => {
  const create = (query: Record<string, string | Buffer>) => statusAndCode('POST', '/files/folder', query)

  it('creates its parents', async () => {
    expect(await create({ path: 'a/b/c' })).toEqual([200, 0])
    expect(await modeOf(at('a/b/c'))).toBe('755')
  })

  it.each([
    ['700', '700'],
    ['0777', '777'],
    ['0o2775', '2775'],
    ['', '755'],
  ])('gives it the mode %j whatever the umask', async (mode, expected) => {
    expect(await create({ path: 'd', mode })).toEqual([200, 0])
    expect(await modeOf(at('d'))).toBe(expected)
  })

  it.each(['888', '-755', 'rwx', '77777', '0x1ff'])('refuses the mode %j', async (mode) => {
    expect(await create({ path: 'd', mode })).toEqual([400, 'VALIDATION_FAILED'])
    expect(await readdir(toolbox.folder)).toEqual([])
  })

  it('is content with one that is there, and leaves its mode', async () => {
    await mkdir(at('d'), 0o700)
    expect(await create({ path: 'd', mode: '755' })).toEqual([200, 0])
    expect(await modeOf(at('d'))).toBe('700')
  })

  it('is refused where a file is in the way', async () => {
    await writeFile(at('file'), '')
    expect(await create({ path: 'file' })).toEqual([409, 'FILE_EXISTS'])
    expect(await create({ path: 'file/below' })).toEqual([400, 'INVALID_FILE_PATH'])
  })

  it('takes a name that is no UTF-8', async () => {
    const name = Buffer.from([0x64, 0xff])
    expect(await create({ path: name, mode: '750' })).toEqual([200, 0])
    expect(await readdir(toolbox.folder, 'buffer')).toEqual([name])
  })
})

describe('deleting', () => {
  const remove = (query: Record<string, string | Buffer>) => statusAndCode('DELETE', '/files', query)

  it('deletes a file, a pipe, and a link instead of what it points to', async () => {
    await writeFile(at('file'), '')
    await writeFile(at('kept'), '')
    await mkdir(at('kept-folder'))
    await symlink('kept', at('link'))
    await symlink('kept-folder', at('folder-link'))
    execFileSync('mkfifo', [at('pipe')])
    for (const path of ['file', 'link', 'folder-link', 'pipe']) expect(await remove({ path })).toEqual([200, 0])
    expect(await readdir(toolbox.folder)).toEqual(['kept', 'kept-folder'])
  })

  it.each([{}, { recursive: 'false' }, { recursive: '0' }])('refuses a folder with %j', async (extra) => {
    await mkdir(at('d'))
    expect(await remove({ path: 'd', ...extra })).toEqual([400, 'INVALID_FILE_PATH'])
    expect(await readdir(toolbox.folder)).toEqual(['d'])
  })

  it.each(['true', '1'])(
    'deletes a whole folder with recursive=%s, and nothing its links point to',
    async (recursive) => {
      await mkdir(at('d/deep'), { recursive: true })
      await writeFile(Buffer.concat([Buffer.from(at('d/deep/')), Buffer.from([0xff])]), '')
      await writeFile(at('kept'), '')
      await symlink('../kept', at('d/link'))
      expect(await remove({ path: 'd', recursive })).toEqual([200, 0])
      expect(await readdir(toolbox.folder)).toEqual(['kept'])
    },
  )

  it('of what is not there is 404', async () => {
    expect(await remove({ path: 'missing', recursive: 'true' })).toEqual([404, 'FILE_NOT_FOUND'])
  })
})

describe('moving', () => {
  const move = (source: string | Buffer, destination: string | Buffer) =>
    statusAndCode('POST', '/files/move', { source, destination })

  it('renames files, folders and links themselves', async () => {
    await writeFile(at('file'), 'content')
    await mkdir(at('folder/inner'), { recursive: true })
    await symlink('nowhere', at('link'))
    for (const name of ['file', 'folder', 'link']) expect(await move(name, `${name}-2`)).toEqual([200, 0])
    expect(await readdir(toolbox.folder)).toEqual(['file-2', 'folder-2', 'link-2'])
    expect(await readlink(at('link-2'))).toBe('nowhere')
  })

  it('renames bytes that are no UTF-8', async () => {
    const [from, to] = [Buffer.from([0xff]), Buffer.from([0xfe])]
    await writeFile(Buffer.concat([Buffer.from(`${toolbox.folder}/`), from]), '')
    expect(await move(from, to)).toEqual([200, 0])
    expect(await readdir(toolbox.folder, 'buffer')).toEqual([to])
  })

  it('never replaces: a file, a folder, a dangling link and itself are 409', async () => {
    await writeFile(at('file'), 'content')
    await writeFile(at('other'), 'kept')
    await mkdir(at('folder'))
    await symlink('nowhere', at('dangling'))
    for (const destination of ['other', 'folder', 'dangling', 'file']) {
      expect(await move('file', destination)).toEqual([409, 'FILE_EXISTS'])
    }
    expect(await readFile(at('other'), 'utf8')).toBe('kept')
  })

  it('lets one of two moves to the same place win', async () => {
    await writeFile(at('a'), 'a')
    await writeFile(at('b'), 'b')
    const outcomes = await Promise.all([move('a', 'c'), move('b', 'c')])
    expect(outcomes.map(([status]) => status).sort()).toEqual([200, 409])
    expect(await readdir(toolbox.folder)).toHaveLength(2)
  })

  it.each([
    { source: 'missing', destination: 'x', refusal: [404, 'FILE_NOT_FOUND'] },
    { source: 'file', destination: 'missing/x', refusal: [404, 'FILE_NOT_FOUND'] },
    { source: 'file', destination: 'file/x', refusal: [400, 'INVALID_FILE_PATH'] },
    { source: 'folder', destination: 'folder/inside', refusal: [400, 'INVALID_FILE_PATH'] },
  ])('$source to $destination is refused', async ({ source, destination, refusal }) => {
    await writeFile(at('file'), '')
    await mkdir(at('folder'))
    expect(await move(source, destination)).toEqual(refusal)
  })
})

describe.runIf(process.getuid?.() === 0)('moving across devices (needs root to mount one)', () => {
  let disk: string
  beforeEach(async () => {
    disk = await mkdtemp(join(tmpdir(), 'atoll-disk-'))
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', disk])
  })
  afterEach(async () => {
    execFileSync('umount', [disk])
    await rm(disk, { recursive: true })
  })

  it('takes contents, modes, times, links and odd names along', async () => {
    await mkdir(at('tree/sub'), { recursive: true })
    await writeFile(at('tree/sub/run'), 'content')
    await chmod(at('tree/sub/run'), 0o751)
    await chmod(at('tree/sub'), 0o500)
    await symlink('sub/run', at('tree/link'))
    await writeFile(Buffer.concat([Buffer.from(at('tree/')), Buffer.from([0xff])]), 'odd')
    await lutimes(at('tree/sub/run'), new Date(1000), new Date(2000))
    expect(await statusAndCode('POST', '/files/move', { source: 'tree', destination: join(disk, 'moved') })).toEqual([
      200, 0,
    ])
    expect(await readdir(toolbox.folder)).toEqual([])
    expect(await readdir(disk)).toEqual(['moved'])
    expect(await readFile(join(disk, 'moved/sub/run'), 'utf8')).toBe('content')
    expect(await modeOf(join(disk, 'moved/sub/run'))).toBe('751')
    expect(await modeOf(join(disk, 'moved/sub'))).toBe('500')
    expect((await stat(join(disk, 'moved/sub/run'))).mtimeMs).toBe(2000)
    expect(await readlink(join(disk, 'moved/link'))).toBe('sub/run')
  })

  it('leaves the source whole and no copy when the other disk is full or something cannot be copied', async () => {
    await mkdir(at('tree'))
    await writeFile(at('tree/big'), Buffer.alloc(2_000_000))
    const query = { source: 'tree', destination: join(disk, 'moved') }
    expect(await statusAndCode('POST', '/files/move', query)).toEqual([400, 'DISK_FULL'])
    await writeFile(at('tree/big'), 'small')
    execFileSync('mkfifo', [at('tree/pipe')])
    expect(await statusAndCode('POST', '/files/move', query)).toEqual([400, 'INVALID_FILE_PATH'])
    expect(await readdir(at('tree'))).toEqual(['big', 'pipe'])
    expect(await readdir(disk)).toEqual([])
  })
})
