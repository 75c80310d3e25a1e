import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readdir, realpath, rm, stat, statfs, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runCommand } from '../../../run-command.ts'
import { findImageDevice, IMAGE_FILE, MOUNT_DISK, repairDiskImage } from '../sandbox-disk.ts'
import type { SandboxRecord } from '../sandbox-folder.ts'
import { openDiskPool, POOL_FILE, POOL_FOLDER } from './disk-pool.ts'
import type { DiskStore } from './disk-store.ts'
import { MIN_FREE_BYTES } from './disk-store.ts'
import type { OpenedDiskStore } from './open-disk-store.ts'
import { openDiskStore } from './open-disk-store.ts'

const run = promisify(execFile)
const MIB = 1024 ** 2
/** Image that is mounted on the host: sandboxes of other tests that start meanwhile keep it mounted while they run. */
const HOST_FILE = 'host.img'
/** An instance id of its own: another run beside this one has its devices on the same host. */
const INSTANCE = randomBytes(4).toString('hex')
const UNTIL_DEADLINE_MS = 60_000
/** How long writing back may take, on a disk that others write to, in milliseconds. */
const WRITE_DEADLINE_MS = 120_000
const RECORD: SandboxRecord = {
  spec: {
    ...{ snapshot: 'host', user: 'root', network: 'none' },
    limits: { cpu: 1, memoryGiB: 1, diskGiB: 1, pids: 16 },
  },
  disk: 'image',
}

let dataDir: string
const opened: OpenedDiskStore[] = []
beforeEach(async () => {
  dataDir = await realpath(await mkdtemp(join(tmpdir(), 'atoll-pool-')))
})
afterEach(async () => {
  for (const { disks } of opened.splice(0)) await disks[Symbol.asyncDispose]()
  await expect.poll(devices).toEqual([])
  await rm(dataDir, { recursive: true })
})

async function open(folder = dataDir): Promise<DiskStore> {
  await mkdir(folder, { recursive: true })
  const found = await openDiskStore({ dataDir: folder, instanceId: INSTANCE, hasImages: true, run: runCommand })
  opened.push(found)
  return found.disks
}

async function close(): Promise<void> {
  await opened.pop()?.disks[Symbol.asyncDispose]()
}

/** Returns the backing files of loop devices below the data folder and in its pool. */
async function devices(): Promise<string[]> {
  const { stdout } = await run('losetup', ['--list', '--noheadings', '--output', 'BACK-FILE'])
  const isOurs = (line: string) => line.includes(dataDir) || line.includes(`/${INSTANCE}-`)
  return stdout.split('\n').filter((line) => isOurs(line) && !line.includes(HOST_FILE))
}

async function folder(name: string): Promise<string> {
  const path = join(dataDir, 'sandboxes', name)
  await mkdir(join(path, 'mount'), { recursive: true })
  return path
}

/** Runs a script in the root folder of a sandbox's mounted disk. */
async function inDisk(disks: DiskStore, path: string, script: string): Promise<string> {
  await using disk = await disks.attach(join(path, IMAGE_FILE))
  const whole = `${MOUNT_DISK} set -eu; mount_disk "$1" "$2" discard; cd "$2"; ${script}`
  const mount = ['sh', '-c', whole, 'sh', disk.source, join(path, 'mount')] as const
  return (await runCommand(['unshare', '--mount', '--', ...mount], { deadlineMs: WRITE_DEADLINE_MS })).stdout
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + UNTIL_DEADLINE_MS
  while (!(await condition())) {
    if (performance.now() > giveUpAt) throw new Error('it does not come to pass')
    await delay(20)
  }
}

/** Returns the bytes of the pool's file once written blocks are allocated and free ones discarded: every 30 s, or on sync. */
const usedBytes = async (disks: DiskStore) => {
  await runCommand(['sync', '-f', disks.templates], { deadlineMs: WRITE_DEADLINE_MS })
  return (await stat(join(dataDir, POOL_FILE))).blocks * 512
}

it('a clone takes no room, has what its origin has, and goes its own way', async () => {
  const disks = await open()
  const [first, second] = [await folder('first'), await folder('second')]
  await disks.create(first, RECORD)
  await inDisk(disks, first, 'dd if=/dev/urandom of=bulk bs=1M count=64 2>/dev/null; sha256sum bulk > sum')
  const used = await usedBytes(disks)
  expect(await disks.clone(join(first, IMAGE_FILE), second)).toBe(true)
  expect((await usedBytes(disks)) - used).toBeLessThan(8 * MIB)
  expect(await inDisk(disks, second, 'sha256sum -c sum; rm bulk; touch other; sync -f .')).toBe('bulk: OK\n')
  expect(await inDisk(disks, first, 'sha256sum -c sum; ls')).toBe('bulk: OK\nbulk\nlost+found\nsum\n')
  for (const path of [first, second]) {
    const image = await disks.reach(join(path, IMAGE_FILE))
    expect((await runCommand(['e2fsck', '-f', '-n', image])).code).toBe(0)
  }
})

it('gives what a removed disk took, and what a sandbox deletes, back to the host', async () => {
  const disks = await open()
  const [first, second] = [await folder('first'), await folder('second')]
  for (const path of [first, second]) {
    await disks.create(path, RECORD)
    await inDisk(disks, path, 'dd if=/dev/urandom of=bulk bs=1M count=64 2>/dev/null')
  }
  const used = await usedBytes(disks)
  expect(used).toBeGreaterThan(128 * MIB)
  await disks.removeDisk(first)
  await until(async () => (await usedBytes(disks)) < used - 60 * MIB)
  await inDisk(disks, second, 'rm bulk; sync -f .')
  await until(async () => (await usedBytes(disks)) < used - 120 * MIB)
})

it('is found again with its disks, also where the last process left it mounted, on one loop device', async () => {
  const disks = await open()
  const path = await folder('first')
  await disks.create(path, RECORD)
  await inDisk(disks, path, 'echo kept > file')
  // The first store is still open, as after a kill -9 of a runner whose sandboxes run on.
  const again = await open()
  expect(await inDisk(again, path, 'cat file')).toBe('kept\n')
  await expect.poll(devices).toEqual([join(dataDir, POOL_FILE)])
  await close()
  await close()
  await expect.poll(devices).toEqual([])
  expect(await inDisk(await open(), path, 'cat file')).toBe('kept\n')
})

it('an image that is still mounted has no second device', async () => {
  const disks = await open()
  const path = await folder('first')
  await disks.create(path, RECORD)
  const image = join(path, IMAGE_FILE)
  {
    await using first = await disks.attach(image)
    await using second = await disks.attach(image)
    expect(second.source).toBe(first.source)
    await expect.poll(devices).toHaveLength(2)
  }
  await expect.poll(devices).toHaveLength(1)
})

it('gives back a device that a killed runner left', async () => {
  const disks = await open()
  const path = await folder('first')
  await disks.create(path, RECORD)
  await disks.attach(join(path, IMAGE_FILE))
  await expect.poll(devices).toHaveLength(2)
  await close()
  await expect.poll(devices).toHaveLength(2)
  await open()
  await expect.poll(devices).toEqual([join(dataDir, POOL_FILE)])
})

it('two runners have two pools', async () => {
  const [one, other] = [join(dataDir, 'one'), join(dataDir, 'other')]
  const stores = [await open(one), await open(other)]
  await expect.poll(async () => (await devices()).sort()).toEqual([join(one, POOL_FILE), join(other, POOL_FILE)])
  expect(stores.every(({ canClone }) => canClone)).toBe(true)
})

it('is not seen on the host, keeps nothing of it mounted, and its folder there stays empty', async () => {
  await using host = await mountHost(['mkfs.ext4'], 64)
  await using pool = await openDiskPool(dataDir, INSTANCE, runCommand)
  const { stdout: seen } = await runCommand(pool.seeing(['cat', '/proc/self/mounts']))
  expect(seen).toContain(`${join(dataDir, POOL_FOLDER)} xfs`)
  expect(seen).not.toContain(host.path)
  expect((await run('cat', ['/proc/self/mounts'])).stdout).not.toContain(POOL_FOLDER)
  expect(await readdir(join(dataDir, POOL_FOLDER))).toEqual([])
})

it('says that it is broken, and does not begin anew without the disks in it', async () => {
  await open()
  await close()
  await writeFile(join(dataDir, POOL_FILE), Buffer.alloc(4096), { flag: 'r+' })
  await expect(open()).rejects.toThrow(/^the pool of sandboxes' disks below \S+ cannot be used: mount: /)
  await expect.poll(devices).toEqual([])
})

it('needs no pool where files of the data folder share blocks', async () => {
  await using host = await mountHost(['mkfs.xfs'], 1024)
  const disks = await open(join(host.path, 'data'))
  expect(await readdir(join(host.path, 'data'))).toEqual([])
  const [first, second] = [join(host.path, 'data/first'), join(host.path, 'data/second')]
  for (const path of [first, second]) await mkdir(join(path, 'mount'), { recursive: true })
  await disks.create(first, RECORD)
  await inDisk(disks, first, 'dd if=/dev/urandom of=bulk bs=1M count=64 2>/dev/null; sha256sum bulk > sum')
  const used = await host.used()
  expect(await disks.clone(join(first, IMAGE_FILE), second)).toBe(true)
  expect((await host.used()) - used).toBeLessThan(8 * MIB)
  expect(await inDisk(disks, second, 'sha256sum -c sum')).toBe('bulk: OK\n')
})

it('makes nothing new on a host whose disk is nearly full, and outlives one that is full', async () => {
  await using host = await mountHost(['mkfs.ext4', '-m', '0'], 4096)
  const disks = await open(join(host.path, 'data'))
  const paths = [join(host.path, 'data/first'), join(host.path, 'data/second')] as const
  for (const path of paths) {
    await mkdir(join(path, 'mount'), { recursive: true })
    await disks.create(path, RECORD)
    await inDisk(disks, path, 'echo kept > file')
  }
  await disks.assertRoom()
  await host.fill(MIN_FREE_BYTES - 16 * MIB)
  await expect(disks.assertRoom()).rejects.toMatchObject({ code: 'DISK_FULL' })
  await host.fill(0)
  const write = 'dd if=/dev/urandom of=bulk bs=1M count=64 conv=fsync 2>&1 || true; cat file'
  for (const path of paths) expect(await inDisk(disks, path, write)).toMatch(/No space left(.*\n)*kept\n$/)
  await host.free()
  for (const path of paths) {
    // ext4 has recorded the errors it met, and the next start repairs them.
    await repairDiskImage(await disks.reach(join(path, IMAGE_FILE)), runCommand)
    expect(
      await inDisk(disks, path, 'dd if=/dev/urandom of=bulk bs=1M count=64 conv=fsync 2>/dev/null; cat file'),
    ).toBe('kept\n')
    expect((await runCommand(['e2fsck', '-f', '-n', await disks.reach(join(path, IMAGE_FILE))])).code).toBe(0)
  }
})

it('I2: is checked once no device has it', async () => {
  const disks = await open()
  const path = await folder('held')
  await disks.create(path, RECORD)
  const image = await disks.reach(join(path, IMAGE_FILE))
  await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
  const held = await disks.attach(join(path, IMAGE_FILE))
  const seen: unknown[] = []
  const repaired = repairDiskImage(image, async (argv, options) => {
    seen.push(await findImageDevice(image))
    return runCommand(argv, options)
  })
  // A repair that does not wait has begun by then.
  for (let looks = 0; looks < 50; looks += 1) expect(`/dev/${await findImageDevice(image)}`).toBe(held.source)
  await held[Symbol.asyncDispose]()
  await repaired
  expect(seen).toEqual([undefined, undefined])
})

it('is repaired by what is on it, not by what the kernel remembers of it', async () => {
  const disks = await open()
  const path = await folder('stale')
  await disks.create(path, RECORD)
  await inDisk(disks, path, 'echo kept > file')
  const image = await disks.reach(join(path, IMAGE_FILE))
  const layout = await runCommand(['dumpe2fs', image])
  const block = Number(/Inode bitmap at (\d+)/.exec(layout.stdout)?.[1])
  await runCommand(['dd', `if=${image}`, 'of=/dev/null', 'bs=4096', `skip=${block}`, 'count=1'])
  // Changes the block on disk, below the kernel's cached copy, as a write that never reached the host's disk leaves it.
  await writeFile(join(dataDir, 'junk'), Buffer.alloc(4096, 0xa5))
  const place = await placeInPool(image, block)
  const write = [`of=${join(dataDir, POOL_FILE)}`, 'bs=4096', `seek=${place}`, 'conv=notrunc', 'oflag=direct']
  await runCommand(['dd', `if=${join(dataDir, 'junk')}`, ...write])
  expect(await inDisk(disks, path, 'mkdir folder 2>&1 || true')).toMatch('Read-only file system')
  await repairDiskImage(image, runCommand)
  expect(await inDisk(disks, path, 'mkdir folder; cat file')).toBe('kept\n')
})

it('gets larger with the room there is', async () => {
  const whole = await makeSmallPool()
  expect(await sizeMiB(await open())).toBeGreaterThan(whole / MIB / 2)
})

it('I4: gets larger at the next start when the last one ended between its file and its file system', async () => {
  const whole = await makeSmallPool()
  // The file has all the room there is, so that it does not grow at the next start.
  await truncate(join(dataDir, POOL_FILE), whole)
  expect(await sizeMiB(await open())).toBeGreaterThan(whole / MIB / 2)
})

/** Makes a pool of 1 GiB; returns the size in bytes that a new one has. */
async function makeSmallPool(): Promise<number> {
  await open()
  const { size } = await stat(join(dataDir, POOL_FILE))
  await close()
  await rm(join(dataDir, POOL_FILE))
  await truncateNew(join(dataDir, POOL_FILE), 1024 * MIB)
  await runCommand(['mkfs.xfs', '-q', '-m', 'reflink=1', '-s', 'size=4096', join(dataDir, POOL_FILE)])
  return size
}

async function sizeMiB({ templates }: DiskStore): Promise<number> {
  const { blocks, bsize } = await statfs(templates)
  return (blocks * bsize) / MIB
}

/** Returns the place of a block of an image in the pool's file; both in blocks of 4 KiB. */
async function placeInPool(image: string, block: number): Promise<number> {
  const { stdout } = await runCommand(['filefrag', '-v', '-b4096', image])
  for (const [, first, last, place] of stdout.matchAll(/^ *\d+: +(\d+)\.\. +(\d+): +(\d+)\.\./gm)) {
    if (block >= Number(first) && block <= Number(last)) return Number(place) + block - Number(first)
  }
  throw new Error(`block ${block} has no place`)
}

/** Mounts a file system of `mib` MiB below the data folder; the store that is opened next is to lie on it. */
async function mountHost(make: [string, ...string[]], mib: number) {
  const [image, path] = [join(dataDir, HOST_FILE), join(dataDir, 'host')]
  const ballast = join(path, 'ballast')
  await truncateNew(image, mib * MIB)
  await runCommand([...make, '-q', image])
  await mkdir(path)
  await runCommand(['mount', '-o', 'loop', image, path])
  const stats = () => statfs(path)
  return {
    path,
    used: async () => ((await stats()).blocks - (await stats()).bfree) * (await stats()).bsize,
    async fill(leftBytes: number) {
      await rm(ballast, { force: true })
      const { bavail, bsize } = await stats()
      await runCommand(['fallocate', '--length', String(bavail * bsize - leftBytes), ballast], { accept: [0, 1] })
      // fallocate leaves some blocks, because the file's own block map needs some.
      const rest = ['dd', 'if=/dev/zero', `of=${ballast}-rest`, 'bs=4k'] as const
      if (leftBytes === 0) await runCommand(rest, { accept: [1], deadlineMs: WRITE_DEADLINE_MS })
    },
    free: async () => {
      for (const file of [ballast, `${ballast}-rest`]) await rm(file, { force: true })
    },
    [Symbol.asyncDispose]: async () => {
      await close()
      await runCommand(['umount', path], { deadlineMs: WRITE_DEADLINE_MS })
    },
  }
}

async function truncateNew(path: string, bytes: number): Promise<void> {
  await writeFile(path, '')
  await truncate(path, bytes)
}
