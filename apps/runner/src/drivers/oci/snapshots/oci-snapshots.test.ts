import { execFile } from 'node:child_process'
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { promisify } from 'node:util'
import { gzipSync } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { packTinyRoot, writeTinyRoot } from '../../testing/tiny-root.ts'

const run = promisify(execFile)

let harness: SnapshotHarness
let root: string

beforeAll(async () => {
  harness = await createSnapshotHarness()
  root = join(harness.directory, 'root')
  await writeTinyRoot(root)
})
afterAll(() => harness?.[Symbol.asyncDispose]())

const tarOfRoot = () => packTinyRoot(root)

const archive = { source: { kind: 'archive' } } as const

describe('a snapshot of a directory', () => {
  it('becomes active, and a sandbox of it has its files, an account and the toolbox', async () => {
    const made = await harness.settled('dir', { source: { kind: 'directory', path: root } })
    expect(made).toMatchObject({ ref: 'dir', state: 'active', kind: 'directory', needsContent: false })
    expect(made.users).toEqual(['daytona', 'root'])
    expect(made.sizeGiB).toBeGreaterThan(0.0005)
    const sandbox = await harness.startSandbox('dir-1', { snapshot: 'dir' })
    const { stdout } = await sandbox.exec('cat /greeting; id; cd; echo $PWD; touch mine && echo written; ls /')
    expect(stdout).toMatch(/^hello\nuid=1000\(daytona\) gid=1000\(daytona\)[^\n]*\n\/home\/daytona\nwritten\n/)
    expect(stdout).not.toContain('usr')
    await harness.driver.remove('dir-1')
  })

  it('is the same when asked for again, and another source is a conflict', async () => {
    const again = await harness.driver.snapshots.make('dir', { source: { path: root, kind: 'directory' } })
    expect(again.state).toBe('active')
    await expect(harness.driver.snapshots.make('dir', archive)).rejects.toMatchObject({ code: 'CONFLICT' })
    await expect(harness.driver.snapshots.make('host', archive)).rejects.toMatchObject({ code: 'CONFLICT' })
  })

  it('is refused outside the allowed folders, whichever way it is named', async () => {
    await symlink('/etc', join(harness.directory, 'link'))
    for (const path of [
      '/etc',
      '/',
      join(harness.directory, 'link'),
      `${harness.directory}/../data`,
      `${harness.directory}-other`,
    ]) {
      const made = harness.driver.snapshots.make('bad', { source: { kind: 'directory', path } })
      await expect(made).rejects.toMatchObject({ code: 'FORBIDDEN' })
    }
    const missing = await harness.settled('missing', { source: { kind: 'directory', path: join(root, 'nowhere') } })
    expect(missing).toMatchObject({ state: 'error', reason: expect.stringContaining('not a folder') })
  })
})

describe('a snapshot of an archive', () => {
  it('waits for its content, tells its states, and keeps its log', async () => {
    const { snapshots } = harness.driver
    const states: string[] = []
    const unsubscribe = snapshots.onChange(({ ref, state }) => {
      if (ref === 'tar') states.push(state)
    })
    expect(await snapshots.make('tar', archive)).toMatchObject({ state: 'pending', needsContent: true })
    const followed = harness.log('tar')
    await snapshots.takeContent('tar', Readable.from([gzipSync(await tarOfRoot())]))
    expect(await harness.settled('tar')).toMatchObject({ state: 'active' })
    unsubscribe()
    expect(states).toEqual(['pulling', 'validating', 'active'])
    const log = await followed
    expect(log).toMatch(/^pulling\narchive: \d+ entries, \d+ MiB\nvalidating\n/)
    expect(log).toMatch(/the toolbox dialled home and stayed up for 3 s\nactive\n$/)
    expect(await harness.log('tar')).toBe(log)
    // Content that no making waits for is not read.
    const unread = Readable.from([Buffer.from('x')])
    expect(await snapshots.takeContent('tar', unread)).toMatchObject({ state: 'active' })
    expect(unread.readableDidRead).toBe(false)
  })

  it('takes its content again after it was cut off', async () => {
    const { snapshots } = harness.driver
    const tar = await tarOfRoot()
    await snapshots.make('cut', archive)
    const broken = Readable.from(
      (async function* () {
        yield tar.subarray(0, 100_000)
        throw new Error('the link broke')
      })(),
    )
    await expect(snapshots.takeContent('cut', broken)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    expect(await snapshots.get('cut')).toMatchObject({ state: 'pending', needsContent: true })
    await snapshots.takeContent('cut', Readable.from([tar]))
    expect(await harness.settled('cut')).toMatchObject({ state: 'active' })
  })

  it('fails with the reason, which stays, when the archive is bad or too large', async () => {
    const { snapshots } = harness.driver
    await snapshots.make('bad', archive)
    expect(await snapshots.takeContent('bad', Readable.from([Buffer.alloc(2_000, 'x')]))).toMatchObject({
      state: 'error',
      reason: 'the archive is refused: it is not a tar archive, or is damaged',
    })
    expect(await snapshots.make('bad', archive)).toMatchObject({ state: 'error' })
    expect(await harness.log('bad')).toContain('error: the archive is refused')
    const spec = {
      snapshot: 'bad',
      user: 'daytona',
      network: 'none',
      limits: { cpu: 1, memoryGiB: 1, diskGiB: 1, pids: 64 },
    } as const
    await expect(harness.driver.create('x', spec)).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_ACTIVE' })
    await snapshots.make('large', { ...archive, maxSizeGiB: 0.0001 })
    const large = await snapshots.takeContent('large', Readable.from([await tarOfRoot()]))
    expect(large.reason).toContain('takes more than 0.00 GiB')
  })

  it('fails when its accounts make no sense', async () => {
    const { snapshots } = harness.driver
    await snapshots.make('hostile', archive)
    const place = join(harness.directory, 'hostile')
    await mkdir(join(place, 'etc'), { recursive: true })
    await writeFile(join(place, 'etc/passwd'), 'daytona:x:-5:1::/::\n')
    const { stdout } = await run('tar', ['-c', '-C', place, '.'], { encoding: 'buffer' })
    await snapshots.takeContent('hostile', Readable.from([stdout]))
    expect(await harness.settled('hostile')).toMatchObject({
      state: 'error',
      reason: 'its accounts in /etc/passwd and /etc/group are not as they should be',
    })
  })
})

describe('deleting', () => {
  it('is refused while a sandbox was made from it, and takes the layers with it afterwards', async () => {
    const { snapshots } = harness.driver
    await harness.startSandbox('held', { snapshot: 'dir' })
    await expect(snapshots.remove('dir')).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' })
    await harness.driver.stop('held', 0)
    await expect(snapshots.remove('dir')).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' })
    await harness.driver.remove('held')
    const before = await readdir(join(harness.dataDir, 'layers'))
    await snapshots.remove('dir')
    await snapshots.remove('dir')
    expect((await readdir(join(harness.dataDir, 'layers'))).length).toBe(before.length - 2)
    await expect(snapshots.get('dir')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
    await expect(snapshots.remove('host')).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' })
    for (const ref of ['', '.', '..', '../x', 'a/b', '-a', 'a\0b']) {
      await expect(snapshots.make(ref, archive)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
      await expect(snapshots.remove(ref)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
  })

  it('is refused from the moment on at which a sandbox is being made', async () => {
    const limits = { cpu: 1, memoryGiB: 1, diskGiB: 1, pids: 64 }
    await harness.driver.volumes.make('needed', { sizeGiB: 0.1 })
    const volumes = [{ volumeId: 'needed', mountPath: '/needed' }]
    const creating = harness.driver.create('early', {
      snapshot: 'tar',
      user: 'daytona',
      network: 'none',
      limits,
      volumes,
    })
    await Promise.resolve()
    await expect(harness.driver.snapshots.remove('tar')).rejects.toMatchObject({ code: 'SNAPSHOT_IN_USE' })
    await expect(harness.driver.volumes.remove('needed')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' })
    await creating
    await harness.driver.remove('early')
  })

  it('gives up one that is being made', async () => {
    const { snapshots } = harness.driver
    await snapshots.make('given-up', archive)
    const { signal } = new AbortController()
    const followed = await snapshots.readLog('given-up', { from: 0, follow: true, signal })
    await snapshots.remove('given-up')
    for await (const chunk of followed) expect(String(chunk)).not.toContain('active')
    await expect(snapshots.get('given-up')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
    expect(await readdir(join(harness.dataDir, 'refs'))).not.toContainEqual(expect.stringContaining('given-up'))
  })
})

describe('a sender that falls silent', () => {
  it('keeps its own snapshot from being made, and no other, and can be given up', async () => {
    const { snapshots } = harness.driver
    const tar = await tarOfRoot()
    const silent = Array.from({ length: 3 }, () => new PassThrough())
    const sent = silent.map(async (content, number) => {
      await snapshots.make(`silent-${number}`, archive)
      content.write(tar.subarray(0, 300_000))
      return snapshots.takeContent(`silent-${number}`, content).then(
        () => 'taken',
        (error) => error.code,
      )
    })
    await snapshots.make('spoken', archive)
    await snapshots.takeContent('spoken', Readable.from([tar]))
    expect(await harness.settled('spoken')).toMatchObject({ state: 'active' })
    silent[0]?.destroy()
    expect(await sent[0]).toBe('BAD_REQUEST')
    for (const number of [0, 1, 2]) await snapshots.remove(`silent-${number}`)
    expect(await Promise.all(sent)).toEqual(['BAD_REQUEST', 'SNAPSHOT_NOT_FOUND', 'SNAPSHOT_NOT_FOUND'])
    await expect(snapshots.get('silent-1')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
  })

  it('or one that waits for its turn is given up at once', async () => {
    const { snapshots } = harness.driver
    const refs = ['turn-1', 'turn-2', 'turn-3', 'turn-4']
    for (const ref of refs) await snapshots.make(ref, { source: { kind: 'directory', path: root } })
    for (const ref of refs.reverse()) await snapshots.remove(ref)
    expect((await snapshots.list()).map(({ ref }) => ref).join()).not.toContain('turn')
  })
})

describe('another run of the runner', () => {
  it('finds what was made, and nothing of what was not', async () => {
    await mkdir(join(harness.dataDir, 'layers/.draft-1/t'), { recursive: true })
    await mkdir(join(harness.dataDir, 'layers/abcdefghijklmnop/t'), { recursive: true })
    await mkdir(join(harness.dataDir, 'refs/half.draft-1'))
    await harness.driver.snapshots.make('waiting', archive)
    await harness.reopen()
    const refs = (await harness.driver.snapshots.list()).map(({ ref, state }) => `${ref} ${state}`)
    expect(refs.sort()).toEqual(expect.arrayContaining(['bad error', 'cut active', 'host active', 'tar active']))
    expect(refs.join()).not.toContain('waiting')
    const layers = await readdir(join(harness.dataDir, 'layers'))
    expect(layers).not.toContain('.draft-1')
    expect(layers).not.toContain('abcdefghijklmnop')
    expect(await readdir(join(harness.dataDir, 'sandboxes'))).toEqual([])
    const sandbox = await harness.startSandbox('again', { snapshot: 'tar' })
    expect((await sandbox.exec('cat /greeting')).stdout).toBe('hello\n')
    await harness.driver.remove('again')
    expect(await readFile(join(harness.dataDir, 'refs/tar/log'), 'utf8')).toContain('active')
  })
})
