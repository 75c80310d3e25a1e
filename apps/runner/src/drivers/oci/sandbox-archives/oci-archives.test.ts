import { createHash, randomUUID } from 'node:crypto'
import { readdir, rename, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import type { SandboxSpec } from '@atoll/protocol'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { WALK_TREE } from '../../testing/walk-tree.ts'
import { ARCHIVE_KEPT_MS } from './archives-folder.ts'

let harness: SnapshotHarness

beforeAll(async () => {
  harness = await createSnapshotHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())

const never = new AbortController().signal
const root: SandboxSpec = {
  ...{ snapshot: 'host', user: 'root', network: 'none' },
  limits: { cpu: 1, memoryGiB: 0.5, diskGiB: 0.25, pids: 128 },
}
const tiny: SandboxSpec = { ...root, limits: { ...root.limits, diskGiB: 0.05 } }
const DEADLINE_MS = 120_000

/** An ACL, as the kernel keeps it, of a user whom every host knows, and a group that may less than its mask. */
const ACL = '0200000001000700ffffffff0200050021000000' + '04000400ffffffff10000700ffffffff20000100ffffffff'
/** A script that makes every kind of file, changes and deletes files of the snapshot, and changes the root folder itself. */
const CHANGE = `
mkdir -p /root/tree/deep /root/tree/sticky && cd /root/tree
echo hello > text && chown 1000:5 text && chmod 4751 text && touch -d @1000000000.123456789 text
ln text hard; ln -s ../nowhere soft; touch -h -d @5.5 soft; mkfifo pipe; touch -d @-1.25 pipe
truncate -s 9G sparse; printf end >> sparse; dd if=/dev/zero of=zeros bs=1M count=1 2>/dev/null
chmod 1777 sticky; touch "deep/n\u00e4me mit L\u00fccke" "$(printf 'deep/\\377\\376\\n')"
mkdir -p "$(printf 'x%.0s' $(seq 200))/$(printf 'y%.0s' $(seq 200))"
python3 -c 'import os; os.setxattr("text", "user.note", b"\\xff\\x00=\\n"); os.setxattr("text", "security.capability", bytes.fromhex("0100000200200000000000000000000000000000")); os.setxattr("/", "user.root", b"own")'
python3 -c 'import os; [os.setxattr(path, "system.posix_acl_" + kind, bytes.fromhex("${ACL}")) for path, kind in [("text", "access"), ("sticky", "access"), ("sticky", "default")]]'
rm /etc/debian_version; rm -rf /etc/skel; mkdir /etc/skel; echo new > /etc/skel/own; touch -d @77.7 /etc/skel
echo changed >> /etc/issue
chown 7:8 / && chmod 1751 / && touch -d @1234567890.987654321 /`

const SEEN = ['root', 'etc']
const OWN = ['root/tree', 'etc/skel', 'etc/issue']
const GONE = 'ls /etc/debian_version 2>&1; stat -c "%a %u %g %.9Y" /'

/** Returns a description of the root folder and the files that the sandbox changed; other files are the runner's. */
async function look(id: string, where: SnapshotHarness = harness): Promise<string> {
  const sandbox = await where.startSandbox(id, root)
  const tree = await sandbox.exec(['python3', '-c', WALK_TREE, '/', ...SEEN], { deadlineMs: DEADLINE_MS })
  const { stdout } = await sandbox.exec(GONE)
  await where.driver.stop(id, 0)
  const own = OWN.map((path) => Buffer.from(path).toString('hex'))
  const isOwn = (line: string) => line.startsWith('. ') || own.some((path) => line.startsWith(path))
  return tree.stdout.split('\n').filter(isOwn).join('\n') + stdout
}

async function archiveOf(sandboxId: string): Promise<Buffer> {
  const { archives } = harness.driver
  const name = { sandboxId, archiveId: randomUUID() }
  const { bytes, sha256 } = await archives.stage(name, never)
  const whole = await buffer(await archives.read(name, { from: 0, bytes }))
  expect([whole.length, sumOf(whole).sha256]).toEqual([bytes, sha256])
  return whole
}

function sumOf(whole: Buffer) {
  return { bytes: whole.length, sha256: createHash('sha256').update(whole).digest('hex') }
}

async function restore(sandboxId: string, whole: Buffer, { driver }: SnapshotHarness = harness) {
  const name = { sandboxId, archiveId: randomUUID() }
  await driver.archives.receive(name, { from: 0, content: Readable.from([whole]) })
  return await driver.archives.unpack(name, sumOf(whole))
}

/** Returns the names in a sandbox's folder of archives, without the marks of unpacked archives. */
async function kept(id: string): Promise<string[]> {
  const names = await readdir(join(harness.dataDir, 'sandboxes', id, 'archives')).catch(() => [])
  return names.filter((name) => !name.endsWith('.unpacked'))
}

async function touchAll(id: string, at: Date): Promise<void> {
  for (const name of await kept(id)) await utimes(join(harness.dataDir, 'sandboxes', id, 'archives', name), at, at)
}

describe('the files of a sandbox', () => {
  let whole: Buffer
  let before: string

  it('A1: leave with all there is to them, and arrive so in another', async () => {
    const sandbox = await harness.startSandbox('a', root)
    const change = await sandbox.exec(CHANGE)
    expect([change.stderr, change.code]).toEqual(['', 0])
    await harness.driver.stop('a', 0)
    before = await look('a')
    expect(before).toContain('1751 7 8 1234567890.987654321')
    expect(before).toMatch(/debian_version.*No such file/)
    whole = await archiveOf('a')
    expect(whole.length).toBeLessThan(5_000_000)
    await harness.driver.remove('a')
    await harness.driver.create('b', root)
    expect(await restore('b', whole)).toMatchObject({ state: 'stopped' })
    expect((await look('b')).split('\n')).toEqual(before.split('\n'))
  })

  it('A1: arrive so on another runner', async () => {
    await using other = await createSnapshotHarness()
    await other.driver.create('elsewhere', root)
    await restore('elsewhere', whole, other)
    expect((await look('elsewhere', other)).split('\n')).toEqual(before.split('\n'))
  })

  it('A2: leave a running one as of one moment, which goes on', async () => {
    const sandbox = await harness.startSandbox('b', root)
    // Packing the file between the two takes longer than a round.
    await sandbox.exec('mkdir /root/m; head -c 20M /dev/urandom > /root/m/between')
    const round = 'echo >> /root/m/a; echo >> /root/m/z; echo >> /root/ticks; sleep 0.001'
    await sandbox.exec(`(while :; do ${round}; done) >/dev/null 2>&1 & until [ -s /root/ticks ]; do :; done`)
    const packed = await archiveOf('b')
    await harness.driver.create('moment', root)
    await restore('moment', packed)
    const copy = await harness.startSandbox('moment', root)
    const { stdout: lines } = await copy.exec('wc -l < /root/m/a; wc -l < /root/m/z')
    const [first = 0, last = 0] = lines.trim().split('\n').map(Number)
    expect([0, 1]).toContain(first - last)
    expect(last).toBeGreaterThan(0)
    await harness.driver.remove('moment')
    const count = 'wc -l < /root/ticks'
    const { stdout } = await sandbox.exec(`a=$(${count}); until [ "$a" -lt "$(${count})" ]; do :; done; echo goes on`)
    expect(stdout).toContain('goes on')
  })

  it('cannot be replaced while it runs, nor be had of one that is unknown', async () => {
    const { archives } = harness.driver
    await expect(restore('b', whole)).rejects.toMatchObject({ code: 'SANDBOX_STATE_CONFLICT' })
    const [unknown, odd] = [
      { sandboxId: 'x', archiveId: randomUUID() },
      { sandboxId: 'b', archiveId: '../../x' },
    ]
    const content = Readable.from([whole])
    for (const call of [
      () => archives.stage(unknown, never),
      () => archives.read(unknown, { from: 0, bytes: 1 }),
      () => archives.receive(unknown, { from: 0, content }),
      () => archives.unpack(unknown, sumOf(whole)),
    ]) {
      await expect(call()).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
    }
    await expect(archives.stage(odd, never)).rejects.toMatchObject({ code: 'BAD_REQUEST' })
  })

  it('A5, A7: stay as they were when what comes is damaged, no archive, or too much', async () => {
    await harness.driver.stop('b', 0)
    const { archives } = harness.driver
    const name = { sandboxId: 'b', archiveId: randomUUID() }
    const damaged = Buffer.from(whole)
    damaged[damaged.length >> 1] = (damaged[damaged.length >> 1] ?? 0) ^ 1
    await archives.receive(name, { from: 0, content: Readable.from([damaged]) })
    await expect(archives.unpack(name, sumOf(whole))).rejects.toMatchObject({ code: 'SERVICE_UNAVAILABLE' })
    expect(await archives.arrived(name)).toEqual({ bytes: 0, unpacked: false })
    await expect(restore('b', Buffer.alloc(100_000, 'x'))).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await expect(restore('b', whole.subarray(0, whole.length >> 1))).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await harness.driver.create('small', tiny)
    await expect(restore('small', await large())).rejects.toMatchObject({ code: 'DISK_FULL' })
    const sandbox = await harness.startSandbox('b', root)
    expect((await sandbox.exec('cat /root/tree/text /root/tree/hard')).stdout).toBe('hello\nhello\n')
    await harness.driver.stop('b', 0)
  })

  it('replace what is there, as often as they are sent', async () => {
    await (await harness.startSandbox('c', root)).exec('echo other > /root/other')
    await harness.driver.stop('c', 0)
    for (let time = 0; time < 2; time++) await restore('c', whole)
    expect((await look('c')).split('\n')).toEqual(before.split('\n'))
  })

  it('fit on a full disk again, also the second time', async () => {
    const sandbox = await harness.startSandbox('full', tiny)
    await sandbox.exec('head -c 100M /dev/urandom > /root/full; sync')
    await harness.driver.stop('full', 0)
    const full = await archiveOf('full')
    expect(full.length).toBeGreaterThan(30_000_000)
    await harness.driver.remove('full')
    await harness.driver.create('full', tiny)
    for (let time = 0; time < 2; time++) await restore('full', full)
  })

  it('of one that never ran are none, and it can be started afterwards', async () => {
    await harness.driver.create('d', root)
    await restore('d', await archiveOf('d'))
    const sandbox = await harness.startSandbox('d', root)
    expect((await sandbox.exec('cat /etc/hostname >/dev/null && echo fine')).stdout).toBe('fine\n')
    await harness.driver.stop('d', 0)
  })

  it('are no longer packed when nobody waits for it any more, who keeps nobody waiting', async () => {
    const gone = new AbortController()
    const name = { sandboxId: 'd', archiveId: randomUUID() }
    const staged = harness.driver.archives.stage(name, gone.signal)
    gone.abort(new Error('gone'))
    await expect(staged).rejects.toThrow()
    expect(await harness.driver.stop('d', 0)).toMatchObject({ state: 'stopped' })
    expect((await kept('d')).join()).not.toMatch(/draft|scratch/)
    await expect(harness.driver.archives.read(name, { from: 0, bytes: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
  })
})

describe('an archive', () => {
  it('A3: is packed once, however often it is asked for and whoever dies, until another is', async () => {
    const name = { sandboxId: 'd', archiveId: randomUUID() }
    const staged = await harness.driver.archives.stage(name, never)
    await (await harness.startSandbox('d', root)).exec('echo more > /root/more')
    await harness.driver.stop('d', 0)
    await harness.reopen()
    expect(await harness.driver.archives.stage(name, never)).toEqual(staged)
    const rest = await harness.driver.archives.read(name, { from: 5, bytes: staged.bytes })
    expect((await buffer(rest)).length).toBe(staged.bytes - 5)
    await archiveOf('d')
    await expect(harness.driver.archives.read(name, { from: 0, bytes: 1 })).rejects.toMatchObject({ code: 'NOT_FOUND' })
    expect(await kept('d')).toHaveLength(2)
  })

  it('A3: that comes goes on where it was cut off, also after its runner died', async () => {
    const whole = await archiveOf('d')
    await harness.driver.create('e', root)
    const name = { sandboxId: 'e', archiveId: randomUUID() }
    const half = whole.length >> 1
    async function* cutOff() {
      yield whole.subarray(0, half)
      await expect.poll(async () => (await harness.driver.archives.arrived(name)).bytes).toBe(half)
      throw new Error('the link broke')
    }
    const content = Readable.from(cutOff())
    await expect(harness.driver.archives.receive(name, { from: 0, content })).rejects.toThrow('the link broke')
    await harness.reopen()
    const { archives } = harness.driver
    expect(await archives.arrived(name)).toEqual({ bytes: half, unpacked: false })
    const beyond = { from: half + 1, content: Readable.from([whole]) }
    await expect(archives.receive(name, beyond)).rejects.toMatchObject({ code: 'CONFLICT' })
    await archives.receive(name, { from: half - 3, content: Readable.from([whole.subarray(half - 3)]) })
    await archives.unpack(name, sumOf(whole))
    // Reopens the runner, as after a reply that never arrived.
    await harness.reopen()
    expect(await harness.driver.archives.arrived(name)).toEqual({ bytes: 0, unpacked: true })
    await harness.driver.archives.unpack(name, sumOf(whole))
    const sandbox = await harness.startSandbox('e', root)
    expect((await sandbox.exec('cat /root/more')).stdout).toBe('more\n')
    await harness.driver.stop('e', 0)
  })

  it('that is sent by a later call ends the earlier one', async () => {
    await harness.driver.create('f', root)
    const name = { sandboxId: 'f', archiveId: randomUUID() }
    const stuck = harness.driver.archives.receive(name, { from: 0, content: new Readable({ read: () => undefined }) })
    const refused = expect(stuck).rejects.toThrow()
    const later = { from: 0, content: Readable.from([Buffer.from('all')]) }
    expect(await harness.driver.archives.receive(name, later)).toEqual({ bytes: 3, unpacked: false })
    await refused
  })

  it('is no longer received once its sandbox is to go', async () => {
    const { archives } = harness.driver
    await harness.driver.create('i', root)
    const name = { sandboxId: 'i', archiveId: randomUUID() }
    const content = new Readable({ read: () => undefined })
    content.push('some')
    const underWay = expect(archives.receive(name, { from: 0, content })).rejects.toMatchObject({
      code: 'SERVICE_UNAVAILABLE',
      message: 'the sandbox is being removed',
    })
    await expect.poll(async () => (await archives.arrived(name)).bytes).toBe(4)
    await harness.driver.remove('i')
    await underWay
  })

  it('A6: that comes while its sandbox is being removed brings nothing of it back', async () => {
    await harness.driver.create('j', root)
    const folder = join(harness.dataDir, 'sandboxes', 'j')
    // As a removal does first.
    await rename(folder, `${folder}.draft-1`)
    const late = { from: 0, content: Readable.from([Buffer.from('late')]) }
    const name = { sandboxId: 'j', archiveId: randomUUID() }
    await expect(harness.driver.archives.receive(name, late)).rejects.toMatchObject({ code: 'SANDBOX_NOT_FOUND' })
    await harness.driver.remove('j')
    expect(await harness.driver.create('j', root)).toMatchObject({ state: 'stopped' })
    await harness.driver.remove('j')
  })

  it('is no longer unpacked once its sandbox is to go', async () => {
    await harness.driver.create('g', root)
    const whole = await archiveOf('g')
    await harness.driver.create('h', root)
    const sandbox = await harness.startSandbox('h', root)
    await sandbox.exec('mkdir /root/many && cd /root/many && seq 20000 | xargs touch')
    await harness.driver.stop('h', 0)
    const many = await archiveOf('h')
    const underWay = expect(restore('h', many)).rejects.toMatchObject({ message: 'the sandbox is being removed' })
    const names = async () => (await kept('h')).join()
    await expect.poll(names, { interval: 5, timeout: DEADLINE_MS }).toContain('scratch-')
    await harness.driver.remove('h')
    await underWay
    expect(await readdir(join(harness.dataDir, 'sandboxes'))).not.toContain('h')
    expect(await restore('g', whole)).toMatchObject({ state: 'stopped' })
    await harness.driver.remove('g')
  })

  it('A6: leaves nothing half done behind after a crash, nor for ever what nobody asks for', async () => {
    const folder = join(harness.dataDir, 'sandboxes', 'd', 'archives')
    await writeFile(join(folder, 'draft'), 'half')
    await harness.reopen()
    expect((await kept('d')).filter((name) => !name.startsWith('out-'))).toEqual([])
    await touchAll('d', new Date(Date.now() - ARCHIVE_KEPT_MS - 60_000))
    await harness.reopen()
    expect(await kept('d')).toEqual([])
  })

  it('A6: goes when it is discarded, and with its sandbox', async () => {
    const name = { sandboxId: 'd', archiveId: randomUUID() }
    await harness.driver.archives.stage(name, never)
    for (let time = 0; time < 2; time++) await harness.driver.archives.discard(name)
    expect(await kept('d')).toEqual([])
    const whole = await archiveOf('d')
    await harness.driver.archives.receive(name, { from: 0, content: Readable.from([whole]) })
    await harness.driver.archives.unpack(name, sumOf(whole))
    await harness.driver.archives.discard(name)
    expect(await harness.driver.archives.arrived(name)).toEqual({ bytes: 0, unpacked: false })
    await harness.driver.archives.stage(name, never)
    await harness.driver.remove('d')
    expect(await readdir(join(harness.dataDir, 'sandboxes'))).not.toContain('d')
  })
})

/** Returns an archive that does not fit on a tiny disk. */
async function large(): Promise<Buffer> {
  const sandbox = await harness.startSandbox('large', root)
  await sandbox.exec('head -c 90000000 /dev/urandom > /root/large')
  await harness.driver.stop('large', 0)
  return await archiveOf('large')
}
