import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { writeTinyRoot } from '../../testing/tiny-root.ts'

const GRACE_MS = 200

let one: SnapshotHarness
let other: SnapshotHarness

beforeAll(async () => {
  one = await createSnapshotHarness()
  other = await createSnapshotHarness()
  await writeTinyRoot(join(one.directory, 'root'))
  await one.settled('tiny', { source: { kind: 'directory', path: join(one.directory, 'root') } })
})
afterAll(async () => {
  await one?.[Symbol.asyncDispose]()
  await other?.[Symbol.asyncDispose]()
})

const snapshotOf = (sandboxId: string) => ({ source: { kind: 'sandbox', sandboxId } }) as const

/** A script that makes changes in a sandbox which a plain copy loses. */
const CHANGES = `
set -e
cd
echo mine >file && chmod 640 file && ln file hard && ln -s /nowhere dangling
touch -d '2001-02-03 04:05:06' file
dd if=/dev/zero of=sparse bs=1 count=1 seek=50M 2>/dev/null
rm /greeting
mkdir -p deep/er && echo x >deep/er/x
`
/** A script that prints whether the changes are there. */
const LOOK = `
cd
cat file; stat -c '%a %u %Y %h' file; stat -c %s sparse; [ $(stat -c %b sparse) -lt 100 ] && echo sparse
[ file -ef hard ] && echo same; [ -L dangling ] && echo dangling; cat deep/er/x; [ -e /greeting ] || echo deleted
`
const SEEN = 'mine\n640 1000 981173106 2\n52428801\nsparse\nsame\ndangling\nx\ndeleted\n'

describe('a snapshot of a sandbox', () => {
  it('has what a running one holds, which goes on as if nothing had been', async () => {
    const sandbox = await one.startSandbox('source', { snapshot: 'tiny', user: 'root' })
    // Root can replace a whole folder, which hides the one of the layer below.
    await sandbox.exec('rm -r /data && mkdir /data && touch /data/new')
    await sandbox.exec(CHANGES.replace('cd\n', 'cd /home/daytona\n'))
    await sandbox.exec('chown -R 1000:1000 /home/daytona')
    await sandbox.exec('while true; do echo x; sleep 0.01; done >/tmp/ticks 2>/dev/null &')
    expect(await one.settled('first', snapshotOf('source'))).toMatchObject({ state: 'active', kind: 'sandbox' })
    const ticks = async () => Number((await sandbox.exec('wc -l </tmp/ticks')).stdout)
    const before = await ticks()
    await expect.poll(ticks).toBeGreaterThan(before)
    const copy = await one.startSandbox('copy', { snapshot: 'first' })
    expect((await copy.exec(LOOK)).stdout).toBe(SEEN)
    expect((await copy.exec('ls /data')).stdout).toBe('new\n')
  })

  it('shares the layers below, which outlive their own snapshot', async () => {
    for (const id of ['source', 'copy']) await one.driver.remove(id)
    const first = await one.driver.snapshots.get('first')
    await one.driver.snapshots.remove('tiny')
    const again = await one.startSandbox('second', { snapshot: 'first' })
    expect((await again.exec(LOOK)).stdout).toBe(SEEN)
    expect(first.sizeGiB).toBeLessThan(0.02)
    await one.driver.stop('second', GRACE_MS)
  })

  it('can be made of a stopped one, of one never started, and of a snapshot of a sandbox', async () => {
    expect(await one.settled('stopped', snapshotOf('second'))).toMatchObject({ state: 'active' })
    const third = await one.startSandbox('third', { snapshot: 'stopped' })
    expect((await third.exec(LOOK)).stdout).toBe(SEEN)
    const spec = { snapshot: 'first', user: 'daytona', network: 'none' } as const
    await one.driver.create('fresh', { ...spec, limits: { cpu: 1, memoryGiB: 0.25, diskGiB: 0.25, pids: 64 } })
    expect(await one.settled('of-fresh', snapshotOf('fresh'))).toMatchObject({ state: 'active' })
    await expect(one.driver.snapshots.make('none', snapshotOf('nobody'))).rejects.toMatchObject({
      code: 'SANDBOX_NOT_FOUND',
    })
  })

  it('of the built-in snapshot has that below', async () => {
    const sandbox = await one.startSandbox('hosted')
    await sandbox.exec('echo kept > ~/work')
    expect(await one.settled('on-host', snapshotOf('hosted'))).toMatchObject({ state: 'active', base: 'host' })
    const copy = await one.startSandbox('on-host-1', { snapshot: 'on-host' })
    expect((await copy.exec('cat ~/work; ls /usr/bin/env; hostname')).stdout).toBe('kept\n/usr/bin/env\non-host-1\n')
  })
})

describe('an export', () => {
  const pass = async (ref: string) => {
    const { signal } = new AbortController()
    await other.driver.snapshots.make(ref, { source: { kind: 'import' } })
    const content = Readable.from(await one.driver.snapshots.export(ref, signal), { objectMode: false })
    await other.driver.snapshots.takeContent(ref, content)
    return other.settled(ref)
  }

  it('makes the same snapshot on another runner', async () => {
    const made = await pass('first')
    expect(made).toMatchObject({ state: 'active', kind: 'import' })
    const sandbox = await other.startSandbox('moved', { snapshot: 'first' })
    expect((await sandbox.exec(LOOK)).stdout).toBe(SEEN)
    expect(await pass('on-host')).toMatchObject({ state: 'active', base: 'host' })
    // Layers that the other runner has are not taken twice.
    expect(await pass('stopped')).toMatchObject({ state: 'active' })
  })

  it('is refused when it is something else', async () => {
    await other.driver.snapshots.make('odd', { source: { kind: 'import' } })
    await other.driver.snapshots.takeContent('odd', Readable.from([Buffer.alloc(1024)]))
    expect(await other.settled('odd')).toMatchObject({ state: 'error', reason: 'it is not an export of a snapshot' })
    const { signal } = new AbortController()
    await expect(other.driver.snapshots.export('odd', signal)).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_ACTIVE' })
  })
})
