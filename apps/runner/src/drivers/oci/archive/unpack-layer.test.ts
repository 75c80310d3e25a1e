import { execFile, spawn } from 'node:child_process'
import {
  chown,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { decompress } from './decompress.ts'
import type { ArchiveKind } from './layer-archive.ts'
import type { TarEntry } from './read-tar.ts'
import { unpackLayer } from './unpack-layer.ts'
import { padding, TAR_END, tarHeader } from './write-tar.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024

let folder: string
let target: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-unpack-'))
  target = join(folder, 'target')
  for (const name of ['target', 'jail', 'jail-2', 'scratch', 'source']) await mkdir(join(folder, name))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

type Given = Partial<Omit<TarEntry, 'extended'>> & { path: string; content?: string; extended?: Record<string, string> }

function tarOf(...entries: Given[]): Buffer {
  const parts = entries.flatMap(({ content = '', extended = {}, ...entry }) => {
    const bytes = Buffer.from(content)
    const header = tarHeader({
      type: '0',
      mode: 0o644,
      uid: 0,
      gid: 0,
      size: bytes.length,
      modified: '1700000000',
      linkPath: '',
      device: [0, 0],
      ...entry,
      extended: new Map(Object.entries(extended)),
    })
    return [header, bytes, padding(bytes.length)]
  })
  return Buffer.concat([...parts, TAR_END])
}

function unpack(
  archive: Buffer | Readable,
  options: { kind?: ArchiveKind; maxBytes?: number; maxEntries?: number } = {},
) {
  const stream = archive instanceof Readable ? archive : Readable.from([archive])
  const { signal } = new AbortController()
  const unpacked = decompress(stream, {
    jail: join(folder, 'jail-2'),
    scratch: join(folder, 'scratch'),
    hasZstd: true,
    signal,
  })
  return unpackLayer(unpacked, {
    kind: 'files',
    maxBytes: 64 * MIB,
    ...options,
    target,
    jail: join(folder, 'jail'),
    signal,
  })
}

async function refusal(archive: Buffer, options?: Parameters<typeof unpack>[1]): Promise<string> {
  const error = await unpack(archive, options).then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toMatchObject({ name: 'ArchiveError' })
  return error instanceof Error ? error.message : ''
}

describe('unpacking what a tar program made', () => {
  it.each(['--format=posix', '--format=gnu', '--format=ustar'])(
    'keeps owners, modes, times and links: %s',
    async (format) => {
      const source = join(folder, 'source')
      const long = `${'long-name-'.repeat(8)}/${'x'.repeat(90)}`
      await mkdir(join(source, long.split('/')[0] ?? ''))
      await writeFile(join(source, long), 'long')
      await writeFile(join(source, 'file'), 'content', { mode: 0o640 })
      await run('chmod', ['4750', join(source, 'file')])
      await chown(join(source, 'file'), 1234, 4321)
      await run('chmod', ['4750', join(source, 'file')])
      await utimes(join(source, 'file'), 1_600_000_000, 1_600_000_000)
      await link(join(source, 'file'), join(source, 'hard'))
      await symlink('/etc/passwd', join(source, 'absolute'))
      await symlink('../../x', join(source, 'up'))
      const { stdout } = await run('tar', ['-c', format, '-C', source, '.'], { encoding: 'buffer' })
      await unpack(stdout)
      const file = await stat(join(target, 'file'))
      expect([file.mode & 0o7777, file.uid, file.gid, file.mtimeMs]).toEqual([0o4750, 1234, 4321, 1_600_000_000_000])
      expect((await stat(join(target, 'hard'))).ino).toBe(file.ino)
      expect(await readlink(join(target, 'absolute'))).toBe('/etc/passwd')
      expect(await readlink(join(target, 'up'))).toBe('../../x')
      expect(await readFile(join(target, long), 'utf8')).toBe('long')
    },
  )

  it('keeps names that are not UTF-8, large owners, attributes of any bytes and sparse files', async () => {
    const source = join(folder, 'source')
    const name = Buffer.concat([Buffer.from(`${source}/`), Buffer.from([0xff, 0xfe, 0x61])])
    await writeFile(name, 'odd')
    await writeFile(join(source, 'owned'), '')
    await chown(join(source, 'owned'), 3_000_000_000, 4_000_000)
    await run('python3', ['-c', `import os; os.setxattr("${source}/owned", "user.bytes", b"\\xff\\x00\\n=1")`])
    await run('truncate', ['-s', '2G', join(source, 'sparse')])
    await run('sh', ['-c', `printf end >>${source}/sparse`])
    const args = ['-c', '--format=posix', '--sparse', '--xattrs', '-C', source, '.']
    const { stdout } = await run('tar', args, { encoding: 'buffer' })
    await unpack(stdout)
    expect((await lstat(Buffer.concat([Buffer.from(`${target}/`), Buffer.from([0xff, 0xfe, 0x61])]))).isFile()).toBe(
      true,
    )
    const owned = await stat(join(target, 'owned'))
    expect([owned.uid, owned.gid]).toEqual([3_000_000_000, 4_000_000])
    const read = `import os; print(os.getxattr("${target}/owned", "user.bytes"))`
    expect((await run('python3', ['-c', read])).stdout).toBe("b'\\xff\\x00\\n=1'\n")
    const sparse = await stat(join(target, 'sparse'))
    expect([sparse.size, sparse.blocks < 100]).toEqual([2 * 1024 ** 3 + 3, true])
  })

  it('takes several archives one after another, packed or not', async () => {
    await unpack(Buffer.concat([tarOf({ path: 'a', content: '1' }), tarOf({ path: 'b', content: '2' })]))
    await unpack(
      Buffer.concat(
        [tarOf({ path: 'c', content: '3' }), tarOf({ path: 'd', content: '4' })].map((tar) => gzipSync(tar)),
      ),
    )
    const contents = await Promise.all(['a', 'b', 'c', 'd'].map((name) => readFile(join(target, name), 'utf8')))
    expect(contents.join('')).toBe('1234')
  })

  it('takes gzip and zstd, also in small pieces', async () => {
    const tar = tarOf({ path: 'a', content: 'x'.repeat(100_000) })
    const pieces = function* () {
      const packed = gzipSync(tar)
      for (let at = 0; at < packed.length; at += 7) yield packed.subarray(at, at + 7)
    }
    await unpack(Readable.from(pieces()))
    const zstd = spawn('zstd', ['-q', '-c'])
    zstd.stdin.end(tarOf({ path: 'b', content: 'y' }))
    await unpack(zstd.stdout)
    expect([(await stat(join(target, 'a'))).size, await readFile(join(target, 'b'), 'utf8')]).toEqual([100_000, 'y'])
  })
})

describe('ACLs', () => {
  const VERSION = '\x02\0\0\0'
  /** For the owner, user 33, the owning group, the mask and all others; the group may less than the mask. */
  const KERNEL_FORM = [
    ...['\x01\0\x06\0\xff\xff\xff\xff', '\x02\0\x07\0\x21\0\0\0', '\x04\0\x04\0\xff\xff\xff\xff'],
    ...['\x10\0\x07\0\xff\xff\xff\xff', '\x20\0\0\0\xff\xff\xff\xff'],
  ].join('')
  const READ = `
import os, struct, sys
for path in sys.argv[1:]:
    print(os.path.basename(path), "%o" % (os.stat(path).st_mode & 0o7777), end="")
    for name in sorted(os.listxattr(path)):
        entries = struct.iter_unpack("<HHI", os.getxattr(path, name)[4:])
        print("", name[len("system.posix_acl_"):], *(f"{tag:x}:{-1 if id == 0xffffffff else id}:{may}" for tag, may, id in entries), end="")
    print()
`
  const acls = async (...names: string[]) =>
    (await run('python3', ['-c', READ, ...names.map((name) => join(target, name))])).stdout.trimEnd().split('\n')

  it.each(['files', 'layer', 'image'] as const)('are kept by number: %s', async (kind) => {
    const value = VERSION + KERNEL_FORM
    const access = { 'SCHILY.xattr.system.posix_acl_access': value }
    await unpack(
      tarOf(
        {
          path: 'd/',
          type: '5',
          mode: 0o2770,
          extended: { ...access, 'SCHILY.xattr.system.posix_acl_default': value },
        },
        { path: 'd/bare', mode: 0o640 },
        { path: 'd/file', mode: 0o4670, extended: access },
      ),
      { kind },
    )
    const entries = '1:-1:6 2:33:7 4:-1:4 10:-1:7 20:-1:0'
    expect(await acls('d', 'd/bare', 'd/file')).toEqual([
      `d 2670 access ${entries} default ${entries}`,
      'bare 640',
      `file 4670 access ${entries}`,
    ])
  })

  it.each(['files', 'layer'] as const)('A4: that tar wrote as text are kept for whom it numbers: %s', async (kind) => {
    const gnu =
      'user::rw-\nuser:root:r--\nuser:4242:r-x\ngroup::r--\ngroup:www-data:rwx\ngroup:33:-wx\t#effective:-w-\nmask::rw-\nother::---\n'
    const star = 'user::rwx,user:lisa:r-x:502,group::r-x,mask::rwx,other::r-x,user:0:-w-'
    await unpack(
      tarOf(
        { path: 'gnu', mode: 0o660, extended: { 'SCHILY.acl.access': gnu } },
        { path: 'star/', type: '5', mode: 0o755, extended: { 'SCHILY.acl.default': star } },
        { path: 'star/bare' },
      ),
      { kind },
    )
    expect(await acls('gnu', 'star', 'star/bare')).toEqual([
      'gnu 660 access 1:-1:6 2:4242:5 4:-1:4 8:33:3 10:-1:6 20:-1:0',
      'star 755 default 1:-1:7 2:502:5 2:0:2 4:-1:5 10:-1:7 20:-1:5',
      'bare 644',
    ])
  })

  it('that the kernel does not take are left out, with no other harm', async () => {
    const many = `${'\x02\0\x07\0\x21\0\0\0'.repeat(20_000)}`
    const binary = ['', 'x', '\x01\0\0\0', `${VERSION}x`, VERSION + KERNEL_FORM.slice(8), VERSION + many]
    const textual = ['', 'x', 'user:33:rwx', 'user::rw-,user:4294967295:rwx,group::r--,mask::rwx,other::r--']
    const values = [
      ...binary.map((value) => ({ 'SCHILY.xattr.system.posix_acl_access': value })),
      ...textual.map((value) => ({ 'SCHILY.acl.access': value })),
    ]
    const given = values.map((extended, index) => ({ path: `file-${index}`, mode: 0o640, extended }))
    await unpack(tarOf(...given))
    const found = await acls(...given.map(({ path }) => path))
    expect(found.slice(0, -1)).toEqual(given.slice(0, -1).map(({ path }) => `${path} 640`))
    expect(found.at(-1)).not.toContain('4294967295')
  })
})

describe('an image layer', () => {
  it('has its marks of deletions as overlayfs knows them', async () => {
    const folderEntry = { type: '5', mode: 0o750, uid: 7 }
    await unpack(
      tarOf(
        { path: 'etc/', ...folderEntry },
        { path: 'etc/.wh.passwd' },
        { path: 'srv/', ...folderEntry },
        { path: 'srv/.wh..wh..opq' },
        { path: 'srv/new', content: 'n' },
        { path: '.wh..wh.plnk/1' },
        { path: 'etc/kept', content: 'k' },
        { path: 'etc/.wh.kept' },
      ),
      { kind: 'image' },
    )
    const whiteout = await lstat(join(target, 'etc/passwd'))
    expect([whiteout.isCharacterDevice(), whiteout.rdev]).toEqual([true, 0])
    expect(await readFile(join(target, 'etc/kept'), 'utf8')).toBe('k')
    const srv = await stat(join(target, 'srv'))
    expect([srv.mode & 0o7777, srv.uid]).toEqual([0o750, 7])
    const opaque = `import os; print(os.getxattr("${target}/srv", "trusted.overlay.opaque"))`
    expect((await run('python3', ['-c', opaque])).stdout).toBe("b'y'\n")
    expect(await readFile(join(target, 'srv/new'), 'utf8')).toBe('n')
  })

  it('gives no attribute that steers overlayfs, and no device', async () => {
    const facts = await unpack(
      tarOf(
        {
          path: 'd/',
          type: '5',
          extended: { 'SCHILY.xattr.trusted.overlay.redirect': '/etc', 'SCHILY.xattr.user.a': '1' },
        },
        { path: 'disk', type: '4', device: [8, 0] },
        { path: 'null', type: '3', device: [1, 3] },
        { path: 'zero', type: '3', device: [0, 0] },
      ),
      { kind: 'image' },
    )
    expect(facts.skippedDevices).toBe(3)
    const { stdout } = await run('python3', [
      '-c',
      `import os; print(os.listdir("${target}"), os.listxattr("${target}/d"))`,
    ])
    expect(stdout).toBe("['d'] ['user.a']\n")
  })
})

describe('an archive that means harm', () => {
  it('is refused when a path leads outside', async () => {
    for (const path of ['../x', 'a/../../x', '/../x', 'a/..'])
      expect(await refusal(tarOf({ path }))).toContain('leads outside')
    expect(await refusal(tarOf({ path: 'a', type: '1', linkPath: '../../etc/passwd' }))).toContain('leads outside')
  })

  it('writes nothing through a link it brings', async () => {
    const outside = join(folder, 'outside')
    await mkdir(outside)
    const attacks: Given[][] = [
      [
        { path: 'l', type: '2', linkPath: outside },
        { path: 'l/x', content: '!' },
      ],
      [
        { path: 'l', type: '2', linkPath: '../outside' },
        { path: 'l/x', content: '!' },
      ],
      [
        { path: 'l', type: '2', linkPath: `${outside}/x` },
        { path: 'l', content: '!' },
      ],
      [
        { path: 'l', type: '2', linkPath: `${outside}/x` },
        { path: 'h', type: '1', linkPath: 'l' },
        { path: 'h', content: '!' },
      ],
      [
        { path: 'l', type: '2', linkPath: '/' },
        { path: 'l/.wh.outside' },
        { path: `l/${outside.slice(1)}/.wh..wh..opq` },
      ],
      [{ path: 'h', type: '1', linkPath: '/etc/passwd' }],
    ]
    for (const kind of ['files', 'image', 'layer'] as const) {
      for (const attack of attacks) await unpack(tarOf(...attack), { kind }).catch(() => undefined)
    }
    expect((await run('ls', ['-A', outside])).stdout).toBe('')
    expect((await run('find', [folder, '-samefile', '/etc/passwd'])).stdout).toBe('')
  })

  it('A7: is refused when it takes too much', async () => {
    const zeros = gzipSync(tarOf({ path: 'bomb', content: '\0'.repeat(20 * MIB) }))
    expect(zeros.length).toBeLessThan(100_000)
    expect(await refusal(zeros, { maxBytes: 10 * MIB })).toContain('it takes more than 0.01 GiB')
    const many = Array.from({ length: 300 }, (_, index) => ({ path: `d${index}/`, type: '5' }))
    expect(await refusal(tarOf(...many), { maxBytes: MIB })).toContain('takes more than')
    expect(await refusal(tarOf(...many), { maxEntries: 100 })).toContain('more than 100 entries')
    const claim = tarHeader({
      path: 'big',
      type: '0',
      mode: 0,
      uid: 0,
      gid: 0,
      size: 2 ** 50,
      modified: '0',
      linkPath: '',
      device: [0, 0],
      extended: new Map(),
    })
    expect(await refusal(claim)).toContain('takes more than')
  })

  it('is refused when it is none, or ends early, or lies about its headers', async () => {
    const whole = tarOf({ path: 'a', content: 'x'.repeat(5_000) })
    expect(await refusal(Buffer.from('not a tar archive'.repeat(100)))).toContain('not a tar archive')
    expect(await refusal(whole.subarray(0, 2_000))).toContain('ends in the middle')
    expect(await refusal(gzipSync(whole).subarray(0, 60))).toContain('damaged')
    expect(await refusal(Buffer.from('BZh9aaaa'))).toContain('xz or bzip2')
    expect(await refusal(tarOf({ path: 'old', type: 'S' }))).toContain('--format=pax')
    expect(await refusal(tarOf({ path: 'a', extended: { 'GNU.sparse.map': '0,1' } }))).toContain('sparse')
    const name = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.realsize': '1' }
    const sparse = { ...name, 'GNU.sparse.name': '../../x' }
    expect(await refusal(tarOf({ path: 'a', extended: sparse }))).toContain('leads outside')
  })

  it('ends with the stream it comes from, whose error is told', async () => {
    const broken = Readable.from(
      (async function* () {
        yield tarOf({ path: 'a', content: 'x'.repeat(5_000) }).subarray(0, 3_000)
        throw new Error('the link broke')
      })(),
    )
    await expect(unpack(broken)).rejects.toThrow('the link broke')
  })
})
