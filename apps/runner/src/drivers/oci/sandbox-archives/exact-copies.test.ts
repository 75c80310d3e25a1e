import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { walkTree } from '../../testing/walk-tree.ts'
import { compress } from '../archive/compress.ts'
import { decompress } from '../archive/decompress.ts'
import { unpackLayer } from '../archive/unpack-layer.ts'
import { packFiles } from '../snapshots/copy-files.ts'

const { signal } = new AbortController()

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-exact-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** Makes files, each described by a line of JSON; names are hexadecimal. Folders get their default ACL when all files are there. */
const MAKE = `
import os, sys, json, stat, struct
def acl(entries): return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
root = os.fsencode(sys.argv[1])
made, folders = [], []
for line in sys.stdin:
    f = json.loads(line)
    path = os.path.join(root, bytes.fromhex(f["path"])) if f["path"] else root
    kind = f["kind"]
    if kind == "file":
        with open(path, "wb") as out:
            for at, size in f["data"]: out.seek(at); out.write(os.urandom(size))
            out.truncate(f["size"])
    elif kind == "folder" and f["path"]: os.mkdir(path)
    elif kind == "link": os.symlink(bytes.fromhex(f["target"]), path)
    elif kind == "pipe": os.mkfifo(path)
    elif kind == "whiteout": os.mknod(path, stat.S_IFCHR, 0)
    elif kind == "hard":
        if made: os.link(made[f["of"] % len(made)], path, follow_symlinks=False)
        continue
    if kind in ("file", "link"): made.append(path)
    os.chown(path, f["uid"], f["gid"], follow_symlinks=False)
    if kind != "link": os.chmod(path, f["mode"])
    if kind in ("file", "folder"):
        for key, value in f["attributes"]:
            os.setxattr(path, b"user." + bytes.fromhex(key), bytes.fromhex(value))
        if kind == "file" and f["capability"]: os.setxattr(path, "security.capability", bytes.fromhex("0100000200200000000000000000000000000000"))
        if kind == "folder" and f["opaque"] and f["path"]: os.setxattr(path, "trusted.overlay.opaque", b"y")
    if kind in ("file", "folder", "pipe") and f["access"]: os.setxattr(path, "system.posix_acl_access", acl(f["access"]))
    folders.append((path, f["modified"], f["inherited"] if kind == "folder" else []))
for path, modified, inherited in reversed(folders):
    if inherited: os.setxattr(path, "system.posix_acl_default", acl(inherited))
    os.utime(path, ns=(0, modified), follow_symlinks=False)
`

interface Made {
  kind: 'file' | 'folder' | 'link' | 'pipe' | 'whiteout' | 'hard'
  path: string
  uid: number
  gid: number
  mode: number
  modified: number
  data: [number, number][]
  size: number
  target: string
  of: number
  attributes: [string, string][]
  capability: boolean
  opaque: boolean
  /** ACLs of it, and of what is made in it; none where empty. */
  access: AclEntry[]
  inherited: AclEntry[]
}

/** Tag, permissions and id, in the order of the tags. */
type AclEntry = [tag: number, permissions: number, id: number]

const NO_ID = 0xff_ff_ff_ff

/** Returns an ACL of these permissions for the owner, users, the owning group, groups, the mask and all others. */
function aclOf(
  [owner, group, mask, other]: number[],
  users: [number, number][],
  groups: [number, number][],
): AclEntry[] {
  const named = (tag: number, all: [number, number][]) => all.map(([id, may]): AclEntry => [tag, may, id])
  const entry = (tag: number, may = 0): AclEntry => [tag, may, NO_ID]
  return [
    ...[entry(0x01, owner), ...named(0x02, users)],
    ...[entry(0x04, group), ...named(0x08, groups)],
    ...[entry(0x10, mask), entry(0x20, other)],
  ]
}

async function make(root: string, files: readonly Made[]): Promise<void> {
  await mkdir(root)
  const child = spawn('python3', ['-c', MAKE, root], { stdio: ['pipe', 'inherit', 'inherit'] })
  child.stdin.end(files.map((file) => `${JSON.stringify(file)}\n`).join(''))
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
}

/** Copies a folder as an archive does: packs it and unpacks it in another folder. */
async function copy(from: string, to: string, hasZstd: boolean): Promise<void> {
  const names = ['jail-1', 'jail-2', 'jail-3', 'empty-1', 'empty-2']
  for (const name of names) await mkdir(join(folder, name), { recursive: true })
  await mkdir(to)
  const [first = '', second = '', third = '', empty = '', idle = ''] = names.map((name) => join(folder, name))
  const { content } = compress(packFiles({ folder: from, signal }), { jail: first, scratch: empty, hasZstd, signal })
  const plain = decompress(content, { jail: second, scratch: idle, hasZstd, signal })
  const bounds = { maxBytes: Number.POSITIVE_INFINITY, maxEntries: 1_000_000 }
  await unpackLayer(plain, { kind: 'layer', ...bounds, target: to, jail: third, signal })
}

const id = fc.oneof(fc.constantFrom(0, 1_000, 65_534), fc.integer({ min: 0, max: 0xff_ff_ff_fe }))
const byte = fc.oneof(
  fc.integer({ min: 0x61, max: 0x7a }),
  fc.integer({ min: 1, max: 0xff }).filter((b) => b !== 0x2f),
)
const bytes = (maxLength: number) =>
  fc.array(byte, { minLength: 1, maxLength }).map((all) => Buffer.from(all).toString('hex'))
const name = fc.oneof(bytes(8), bytes(255)).filter((text) => text !== '2e' && text !== '2e2e')
const piece = fc.tuple(fc.integer({ min: 0, max: 400_000 }), fc.integer({ min: 1, max: 9_000 }))
const may = fc.integer({ min: 0, max: 7 })
const named = fc.array(fc.tuple(fc.oneof(fc.constantFrom(0, 33, 1_000, 4_242), id), may), { maxLength: 3 })
const acl = fc
  .tuple(fc.array(may, { minLength: 4, maxLength: 4 }), named, named)
  .map(([base, users, groups]) => aclOf(base, users, groups))
const acls = fc.oneof(fc.constant<AclEntry[]>([]), acl)
/** Seconds from long before 1970 until after 2038, with nanoseconds a double can tell apart. */
const modified = fc.tuple(fc.integer({ min: -2_000, max: 9_000 }), fc.integer({ min: 0, max: 999_999_999 }))

interface Drawn extends Omit<Made, 'path' | 'data' | 'size'> {
  name: string
  parent: number
  content: Pick<Made, 'data' | 'size'>
}

const made: fc.Arbitrary<Drawn> = fc.record({
  kind: fc.constantFrom('file', 'file', 'file', 'folder', 'folder', 'link', 'pipe', 'whiteout', 'hard'),
  ...{ name, parent: fc.nat(), uid: id, gid: id, mode: fc.integer({ min: 0, max: 0o7777 }) },
  modified: modified.map(([kiloseconds, nano]) => kiloseconds * 1e12 + nano),
  content: fc.oneof(
    fc.nat({ max: 20_000 }).map((size) => ({ size, data: [[0, size]] as [number, number][] })),
    // tar takes a hole for data where it is no larger than the block that holds the file's attributes.
    fc.record({ size: fc.integer({ min: 100_000, max: 500_000 }), data: fc.array(piece, { maxLength: 3 }) }),
  ),
  target: fc.oneof(bytes(20), bytes(3_000)),
  of: fc.nat(),
  attributes: fc.array(fc.tuple(bytes(40), fc.oneof(bytes(20), bytes(1_000))), { maxLength: 2 }),
  ...{ capability: fc.boolean(), opaque: fc.boolean() },
  ...{ access: acls, inherited: acls },
})

/** Places each file in one of the folders before it; leaves out a file whose path is taken or too long. */
function place([root, ...rest]: readonly Drawn[]): Made[] {
  if (root === undefined) return []
  const folders = ['']
  const taken = new Set<string>()
  return [
    { ...root, ...root.content, kind: 'folder', path: '' },
    ...rest.flatMap(({ name: own, parent, content, ...file }) => {
      const above = folders[parent % folders.length] ?? ''
      const path = above === '' ? own : `${above}2f${own}`
      if (taken.has(path) || path.length > 2 * 3_500) return []
      taken.add(path)
      if (file.kind === 'folder') folders.push(path)
      return [{ ...file, ...content, path }]
    }),
  ]
}

/** An empty file that has nothing special. */
const plain: Made = {
  ...{ kind: 'file', path: '', uid: 1, gid: 2, mode: 0o644, modified: 1e18, data: [], size: 0 },
  ...{ target: '', of: 0, attributes: [], capability: false, opaque: false, access: [], inherited: [] },
}

function hex(text: string): string {
  return Buffer.from(text).toString('hex')
}

describe('A1: a copy has all there is to its files', () => {
  it.each([true, false])('whatever they are (zstd: %s)', async (hasZstd) => {
    const trees = fc.sample(fc.array(made, { minLength: 1, maxLength: 40, size: 'max' }), {
      numRuns: 12,
      seed: 20_261_127,
    })
    for (const [index, tree] of trees.entries()) {
      const [from, to] = [join(folder, `from-${index}`), join(folder, `to-${index}`)]
      await make(from, place(tree))
      await copy(from, to, hasZstd)
      expect((await walkTree(to)).split('\n')).toEqual((await walkTree(from)).split('\n'))
    }
  })

  it('of users and groups that this host knows and those it does not, in ACLs that no file inherits on the way', async () => {
    const [from, to] = [join(folder, 'from'), join(folder, 'to')]
    const all = (may: number) => [0, 33, 1_000, 4_242].map((one): [number, number] => [one, may])
    // The mode's bits of the group are the mask: without its ACL the group of these files could write.
    const access = aclOf([6, 4, 7, 0], all(5), all(2))
    const inherited = aclOf([7, 5, 5, 1], all(4), all(0))
    const inside = ['', 'a/', 'a/b/'].flatMap((path) => [
      { ...plain, kind: 'folder' as const, path: hex(path), inherited },
      { ...plain, path: hex(`${path}bare`) },
      { ...plain, path: hex(`${path}shared`), mode: 0o6670, access },
    ])
    await make(from, inside)
    await copy(from, to, true)
    const found = (await walkTree(to)).split('\n')
    expect(found).toEqual((await walkTree(from)).split('\n'))
    const ofFile = (name: string) => found.find((line) => line.startsWith(`${hex(name)} `))
    expect(ofFile('a/b/shared')).toContain(hex('system.posix_acl_access'))
    expect(ofFile('a/b/bare')).not.toContain(hex('system.posix_acl'))
  })

  it('of 12 GiB that are a hole, and of 100,000 in one folder', async () => {
    const from = join(folder, 'from')
    const many = Array.from({ length: 100_000 }, (_, index) => ({ ...plain, path: hex(`many/file-${index}`) }))
    await make(from, [
      { ...plain, kind: 'folder', path: '' },
      { ...plain, path: hex('hole'), size: 12 * 1024 ** 3, data: [[9 * 1024 ** 3, 5]] },
      { ...plain, kind: 'folder', path: hex('many') },
      ...many,
    ])
    const to = join(folder, 'to')
    await copy(from, to, true)
    const [before, after] = [await walkTree(from), await walkTree(to)]
    expect(before === after).toBe(true)
  })
})
