import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, open, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { RunCommand } from '../../run-command.ts'
import { runCommand } from '../../run-command.ts'
import { createDiskImage, findImageDevice, growDiskImage, repairDiskImage, repairSharedImage } from './sandbox-disk.ts'

let folder: string
let image: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atoll-disk-'))
  image = join(folder, 'disk.img')
  await mkdir(join(folder, 'mount'))
})
afterEach(() => rm(folder, { recursive: true }))

/** Runs a script with the image mounted at ./mount, in a mount namespace that ends with it. */
async function whileMounted(name: string, script: string): Promise<string> {
  const mount = `cd '${folder}' && mount -o loop '${name}' mount && ${script}`
  return (await runCommand(['unshare', '--mount', 'sh', '-c', mount])).stdout
}

it('an image has the size of its quota and takes little until it is used', async () => {
  await createDiskImage(image, 3, runCommand)
  const { size, blocks } = await stat(image)
  expect(size).toBe(3 * 1024 ** 3)
  expect(blocks * 512).toBeLessThan(8 * 1024 ** 2)
  expect((await stat(image)).mode & 0o777).toBe(0o600)
  await expect(createDiskImage(image, 3, runCommand)).rejects.toThrow('EEXIST')
})

it('what a program was told is on disk survives the loss of power', async () => {
  await createDiskImage(image, 0.1, runCommand)
  // A copy taken while the file system is in use equals the disk after a loss of power.
  await whileMounted('disk.img', 'echo kept > mount/file && sync mount/file && cp --sparse=always disk.img lost.img')
  await repairDiskImage(join(folder, 'lost.img'), runCommand)
  expect(await whileMounted('lost.img', 'cat mount/file')).toBe('kept\n')
})

it('a file system that met errors is repaired, and a sound one is left alone', async () => {
  await createDiskImage(image, 0.1, runCommand)
  const calls: string[] = []
  const watched: RunCommand = (argv, options) => {
    calls.push(argv.find((word) => word === 'flock') ?? argv[0])
    return runCommand(argv, options)
  }
  await repairDiskImage(image, watched)
  expect(calls).toEqual([])
  await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
  await repairDiskImage(image, watched)
  expect(calls).toEqual(['dd', 'flock'])
  await repairDiskImage(image, watched)
  expect(calls).toEqual(['dd', 'flock'])
})

it.each([
  ['repaired', () => repairDiskImage(image, runCommand)],
  ['grown, as after a growth that was cut short', () => growDiskImage(image, 0.2, runCommand)],
])('one whose structures never reached the disk is %s, and keeps what did', async (_, repair) => {
  await createDiskImage(image, 0.1, runCommand)
  await whileMounted(
    'disk.img',
    'mkdir mount/kept mount/lost && echo kept > mount/kept/file && echo lost > mount/lost/file',
  )
  const { stdout } = await runCommand(['debugfs', '-R', 'blocks /lost', image])
  const file = await open(image, 'r+')
  await file.write(Buffer.alloc(4096), 0, 4096, Number(stdout.trim()) * (await blockSize()))
  await file.close()
  await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
  await repair()
  expect(await whileMounted('disk.img', 'cat mount/kept/file')).toBe('kept\n')
  await runCommand(['e2fsck', '-f', '-n', image])
})

it.each([
  ['repaired', (run: RunCommand) => repairDiskImage(image, run)],
  ['grown', (run: RunCommand) => growDiskImage(image, 0.2, run)],
])('I2: is %s once the kernel has released it', async (_, change) => {
  await createDiskImage(image, 0.1, runCommand)
  await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
  await using mounted = await keepMounted()
  const devices: unknown[] = []
  const watched: RunCommand = async (argv, options) => {
    devices.push(await findImageDevice(image))
    return runCommand(argv, options)
  }
  const changed = change(watched)
  // A call that does not wait is over by then.
  for (let looks = 0; looks < 50; looks += 1) await findImageDevice(image)
  await mounted.end()
  await changed
  expect(devices.length).toBeGreaterThan(0)
  expect(new Set(devices)).toEqual(new Set([undefined]))
  await runCommand(['e2fsck', '-f', '-n', image])
})

it('I3: a shared one is repaired while it is mounted nowhere', async () => {
  await createDiskImage(image, 0.1, runCommand)
  await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
  const state = async () => /^Filesystem state: +(.*)$/m.exec((await runCommand(['dumpe2fs', '-h', image])).stdout)?.[1]
  await using mounted = await keepMounted()
  await repairSharedImage(image, runCommand)
  expect(await state()).toMatch('with errors')
  await mounted.end()
  await repairSharedImage(image, runCommand)
  expect(await state()).toBe('clean')
})

it('I2: no check of it goes on without the runner', async () => {
  await createDiskImage(image, 0.1, runCommand)
  await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
  const loose: string[] = []
  const watched: RunCommand = (argv, options) => {
    if (!options?.endsWithRunner) loose.push(argv[0])
    return runCommand(argv, options)
  }
  await growDiskImage(image, 0.2, watched)
  // Dropping the kernel's cache changes nothing.
  expect(new Set(loose)).toEqual(new Set(['dd']))
})

/** Mounts the image in a mount namespace that nobody else sees, until `end`. */
async function keepMounted() {
  const script = `cd '${folder}' && mount -o loop disk.img mount && echo mounted && read -r end`
  const child = spawn('unshare', ['--mount', 'sh', '-c', script], { stdio: ['pipe', 'pipe', 'inherit'] })
  const exit = once(child, 'exit')
  const end = async () => {
    child.stdin.end('end\n')
    await exit
  }
  await once(child.stdout, 'data')
  return { end, [Symbol.asyncDispose]: end }
}

async function blockSize(): Promise<number> {
  const { stdout } = await runCommand(['dumpe2fs', '-h', image])
  return Number(/^Block size:\s+(\d+)$/m.exec(stdout)?.[1])
}
