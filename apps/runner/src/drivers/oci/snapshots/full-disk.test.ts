import { execFile } from 'node:child_process'
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { packTinyRoot, writeTinyRoot } from '../../testing/tiny-root.ts'

const run = promisify(execFile)
/** The disk that the runner has for records and logs. */
const DISK = { bytes: 64 * 1024, files: 32 }
const FILL = 'fill'

const archive = { source: { kind: 'archive' } } as const
const full = { state: 'error', reason: expect.stringContaining('ENOSPC') }
const refused = { state: 'error', reason: expect.stringContaining('not a tar archive') }

let harness: SnapshotHarness
let disk: string
beforeEach(async () => {
  harness = await createSnapshotHarness()
  disk = join(harness.dataDir, 'refs')
  await run('mount', ['-t', 'tmpfs', '-o', `size=${DISK.bytes},nr_inodes=${DISK.files}`, 'tmpfs', disk])
  await writeTinyRoot(join(harness.directory, 'root'))
})
afterEach(async () => {
  await harness.driver[Symbol.asyncDispose]()
  await run('umount', ['--lazy', disk])
  await harness[Symbol.asyncDispose]()
})

/** Leaves room for neither a byte nor a file. */
async function fillDisk(): Promise<void> {
  await mkdir(join(disk, FILL))
  await expect(writeFile(join(disk, FILL, 'large'), Buffer.alloc(DISK.bytes + 1))).rejects.toThrow('ENOSPC')
  const small = await Promise.allSettled(
    Array.from({ length: DISK.files }, (_, number) => writeFile(join(disk, FILL, `${number}`), '')),
  )
  expect(small.at(-1)).toMatchObject({ reason: { code: 'ENOSPC' } })
}

const content = () => packTinyRoot(join(harness.directory, 'root'))

/** Expects that nothing is left of a failed snapshot but its outcome, and has it begun anew once there is room. */
async function expectOver(ref: string, outcome: object): Promise<void> {
  const { snapshots } = harness.driver
  expect(await snapshots.get(ref)).toMatchObject(outcome)
  expect(await snapshots.make(ref, archive)).toMatchObject(outcome)
  expect(await harness.log(ref)).toBe('')
  await expect.poll(() => readdir(disk)).toEqual([FILL])
  await expect.poll(() => readdir(join(harness.dataDir, 'layers'))).toEqual([])
  await snapshots.remove(ref)
  await rm(join(disk, FILL), { recursive: true })
  expect(await snapshots.make(ref, archive)).toMatchObject({ state: 'pending' })
}

it('a snapshot that cannot be begun is in error', async () => {
  await fillDisk()
  const { snapshots } = harness.driver
  await snapshots.make('tar', archive)
  expect(await snapshots.takeContent('tar', Readable.from([Buffer.alloc(1)]))).toMatchObject(full)
  await expectOver('tar', full)
})

it('a snapshot whose log cannot be written is in error, and its log ends', async () => {
  const { snapshots } = harness.driver
  await snapshots.make('tar', archive)
  const followed = harness.log('tar')
  await fillDisk()
  expect(await snapshots.takeContent('tar', Readable.from([Buffer.alloc(2_000, 'x')]))).toMatchObject(refused)
  expect(await followed).toBe('')
  await expectOver('tar', refused)
})

it('a snapshot whose record cannot be written is in error, and its log ends', async () => {
  const { snapshots } = harness.driver
  await snapshots.make('tar', archive)
  const followed = harness.log('tar')
  void snapshots.takeContent('tar', Readable.from([await content()]))
  await harness.until('tar', ({ state }) => state === 'validating')
  await fillDisk()
  expect(await harness.settled('tar')).toMatchObject(full)
  expect(await followed).toMatch(/active\n$/)
  await expectOver('tar', full)
  await snapshots.takeContent('tar', Readable.from([await content()]))
  expect(await harness.settled('tar')).toMatchObject({ state: 'active' })
})

it('a snapshot that is deleted while its log cannot be written leaves no files', async () => {
  const { snapshots } = harness.driver
  await snapshots.make('tar', archive)
  const followed = harness.log('tar')
  await fillDisk()
  const sent = new PassThrough()
  const taken = expect(snapshots.takeContent('tar', sent)).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
  sent.write('x')
  await harness.until('tar', ({ state }) => state === 'pulling')
  await snapshots.remove('tar')
  await taken
  expect(await followed).toBe('')
  expect(await readdir(disk)).toEqual([FILL])
})
