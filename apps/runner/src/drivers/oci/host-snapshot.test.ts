import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { readHostEtc } from './host-etc.ts'
import { prepareHostSnapshot } from './host-snapshot.ts'

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-snapshot-'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('the host snapshot', () => {
  it('has the accounts of a sandbox, and of the host nothing that is private', async () => {
    const { layers, users } = await prepareHostSnapshot({ folder, hiddenPaths: [] })
    const [layer = ''] = layers
    expect([...users.keys()]).toEqual(['daytona', 'root'])
    const passwd = await readFile(join(layer, 'etc/passwd'), 'utf8')
    expect(passwd.split('\n').map((line) => line.split(':')[0])).toEqual([
      ...['root', 'daemon', 'bin', 'sys', 'nobody', 'daytona', ''],
    ])
    const names = await readdir(layer, { recursive: true })
    const isPrivate = /shadow|gshadow|sudoers|^etc\/ssl\/private|ssh_host|gitconfig|npmrc|machine-id|crypttab|krb5/
    expect(names.filter((name) => isPrivate.test(name))).toEqual([])
    expect(await readdir(join(layer, 'usr'))).toEqual([])
    expect((await lstat(join(layer, 'home/daytona'))).uid).toBe(1000)
    expect((await lstat(join(layer, 'tmp'))).mode & 0o7777).toBe(0o1777)
    expect((await lstat(join(layer, 'root'))).mode & 0o777).toBe(0o700)
  })

  it('is the same layer again while the host is the same', async () => {
    const first = await prepareHostSnapshot({ folder, hiddenPaths: [] })
    expect(await prepareHostSnapshot({ folder, hiddenPaths: [] })).toEqual(first)
    expect(await readdir(folder)).toHaveLength(1)
  })

  it('mounts the programs read-only, and covers what is hidden below them', async () => {
    const { mounts } = await prepareHostSnapshot({ folder, hiddenPaths: ['/usr/local/atoll', '/usr', '/data'] })
    for (const mount of mounts) expect(mount.options).toEqual(expect.arrayContaining(['ro', 'nosuid', 'nodev']))
    expect(mounts.map(({ destination, type }) => [destination, type])).toEqual(
      expect.arrayContaining([
        ['/usr', 'bind'],
        ['/usr/local/atoll', 'tmpfs'],
      ]),
    )
    expect(mounts.filter(({ type }) => type === 'tmpfs')).toHaveLength(1)
  })
})

describe('the host /etc', () => {
  it('gives what is on the list and everybody may read', async () => {
    await mkdir(join(folder, 'ssl/certs'), { recursive: true })
    await mkdir(join(folder, 'ssl/private'))
    await mkdir(join(folder, 'alternatives'))
    await writeFile(join(folder, 'ssl/private/key.pem'), 'secret')
    await writeFile(join(folder, 'ssl/certs/ca.crt'), 'certificate')
    await writeFile(join(folder, 'ssl/certs/private.crt'), 'secret')
    await chmod(join(folder, 'ssl/certs/private.crt'), 0o640)
    await writeFile(join(folder, 'gitconfig'), 'secret')
    await writeFile(join(folder, 'services'), 'ssh 22/tcp')
    await writeFile(join(folder, 'magic'), Buffer.alloc(3 * 1024 * 1024))
    await symlink('/usr/bin/vim.basic', join(folder, 'alternatives/vi'))
    const entries = await readHostEtc(folder)
    expect(entries.map(({ kind, path }) => `${kind} ${path}`).sort()).toEqual([
      'file etc/services',
      'file etc/ssl/certs/ca.crt',
      'folder etc/alternatives',
      'folder etc/ssl/certs',
      'link etc/alternatives/vi',
    ])
  })
})
