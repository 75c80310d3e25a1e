import { mkdir, mkdtemp, readdir, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { SandboxSpec } from '@atoll/protocol'
import { createLogger } from '@atoll/service'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { RunCommand } from '../../../run-command.ts'
import { CommandError, runCommand } from '../../../run-command.ts'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { writeTinyRoot } from '../../testing/tiny-root.ts'
import { findImageDevice } from '../sandbox-disk.ts'
import { openOciVolumes } from './oci-volumes.ts'

let harness: SnapshotHarness

beforeAll(async () => {
  harness = await createSnapshotHarness()
  const root = join(harness.directory, 'root')
  await writeTinyRoot(root)
  await symlink('/proc', join(root, 'to-proc'))
  await symlink('/opt/atoll', join(root, 'to-atoll'))
  await symlink('../../../../../../etc', join(root, 'to-etc'))
  await harness.settled('tiny', { source: { kind: 'directory', path: root } })
})
afterAll(() => harness?.[Symbol.asyncDispose]())
afterEach(async () => {
  for (const { sandboxId } of await harness.driver.list()) await harness.driver.remove(sandboxId)
})

const withVolumes = (...volumes: NonNullable<SandboxSpec['volumes']>) => ({ volumes })

describe('a volume', () => {
  it('is made once, described, listed and removed', async () => {
    const { volumes } = harness.driver
    const made = await volumes.make('one', { sizeGiB: 0.25 })
    expect(made).toMatchObject({ volumeId: 'one', sizeGiB: 0.25 })
    expect(await volumes.make('one', { sizeGiB: 9 })).toEqual(await volumes.get('one'))
    expect((await volumes.make('two', {})).sizeGiB).toBe(10)
    expect((await volumes.list()).map(({ volumeId }) => volumeId).sort()).toEqual(['one', 'two'])
    await volumes.remove('two')
    await volumes.remove('two')
    await expect(volumes.get('two')).rejects.toMatchObject({ code: 'VOLUME_NOT_FOUND' })
    for (const id of ['', '..', 'a/b', 'a.b', '-a', 'a\n']) {
      await expect(volumes.make(id, {})).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
  })

  it('is shared by sandboxes while they run, and outlives them', async () => {
    await harness.driver.volumes.make('shared', { sizeGiB: 0.25 })
    const mount = { volumeId: 'shared', mountPath: '/home/daytona/shared' }
    // The two sandboxes have different snapshots and start at the same moment.
    const [one, other] = await Promise.all([
      harness.startSandbox('one', withVolumes(mount)),
      harness.startSandbox('other', { snapshot: 'tiny', volumes: [{ ...mount, mountPath: '/deep/in/there' }] }),
    ])
    await one.exec('echo from one >~/shared/file')
    expect((await other.exec('cat /deep/in/there/file')).stdout).toBe('from one\n')
    await other.exec('echo from other >>/deep/in/there/file; mkdir /deep/in/there/folder')
    expect((await one.exec('cat ~/shared/file; ls ~/shared')).stdout).toBe('from one\nfrom other\nfile\nfolder\n')
    await expect(harness.driver.volumes.remove('shared')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' })
    await harness.driver.stop('one', 0)
    await other.exec('echo still there >/deep/in/there/file')
    await harness.driver.remove('other')
    await expect(harness.driver.volumes.remove('shared')).rejects.toMatchObject({ code: 'VOLUME_IN_USE' })
    const again = await harness.startSandbox('one', withVolumes(mount))
    expect((await again.exec('cat ~/shared/file')).stdout).toBe('still there\n')
    await harness.driver.remove('one')
    await harness.reopen()
    expect(await harness.driver.volumes.list()).toContainEqual(expect.objectContaining({ volumeId: 'shared' }))
    await harness.driver.volumes.remove('shared')
  })

  it('comes and goes with many sandboxes at once without losing a byte', async () => {
    await harness.driver.volumes.make('busy', { sizeGiB: 0.25 })
    const mount = { volumeId: 'busy', mountPath: '/busy' }
    const rounds = Array.from({ length: 6 }, async (_, number) => {
      const sandboxId = `busy-${number}`
      for (let round = 0; round < 3; round += 1) {
        const sandbox = await harness.startSandbox(sandboxId, { snapshot: 'tiny', volumes: [mount] })
        await sandbox.exec(`echo ${number} ${round} >>/busy/of-${number}; echo x >>/busy/of-all`)
        await harness.driver.stop(sandboxId, 0)
      }
    })
    await Promise.all(rounds)
    const last = await harness.startSandbox('last', { snapshot: 'tiny', volumes: [mount] })
    expect((await last.exec('cat /busy/of-* | wc -l; wc -l </busy/of-all')).stdout).toBe('36\n18\n')
  })

  it('keeps its size', async () => {
    await harness.driver.volumes.make('small', { sizeGiB: 0.05 })
    const sandbox = await harness.startSandbox('filler', {
      snapshot: 'tiny',
      volumes: [{ volumeId: 'small', mountPath: '/small' }],
    })
    const { stderr } = await sandbox.exec('dd if=/dev/zero of=/small/big bs=1M count=200; sync')
    expect(stderr).toContain('No space left')
    // Data that the kernel has not written back yet takes no room.
    const used = async () => (await harness.driver.volumes.get('small')).usedGiB
    await expect.poll(used, { timeout: 120_000 }).toBeGreaterThan(0.03)
  })

  it('I3: is repaired before it is mounted again once it has met errors, whoever starts at the same moment', async () => {
    await harness.driver.volumes.make('hurt', { sizeGiB: 0.1 })
    const image = join(harness.dataDir, 'volumes/hurt/disk.img')
    await runCommand(['debugfs', '-w', '-R', 'set_super_value state 2', image])
    const spec = { snapshot: 'tiny', volumes: [{ volumeId: 'hurt', mountPath: '/hurt' }] }
    const [one, other] = await Promise.all([harness.startSandbox('one', spec), harness.startSandbox('other', spec)])
    await one.exec('echo kept >/hurt/file')
    expect((await other.exec('cat /hurt/file')).stdout).toBe('kept\n')
    expect((await runCommand(['dumpe2fs', '-h', image])).stdout).not.toContain('with errors')
    for (const id of ['one', 'other']) await harness.driver.remove(id)
    await expect.poll(() => findImageDevice(image)).toBe(undefined)
    await runCommand(['e2fsck', '-f', '-n', image])
  })

  it('appears in part where a subpath is given', async () => {
    await harness.driver.volumes.make('parted', { sizeGiB: 0.25 })
    const whole = { volumeId: 'parted', mountPath: '/whole' }
    const part = { volumeId: 'parted', mountPath: '/part', subpath: 'of/it' }
    const sandbox = await harness.startSandbox('parts', { snapshot: 'tiny', volumes: [part, whole] })
    expect((await sandbox.exec('echo x >/part/file && cat /whole/of/it/file')).stdout).toBe('x\n')
  })
})

it('a draft that cannot be removed keeps no volume from being opened', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'atoll-volumes-'))
  const run: RunCommand = async (argv, options) => {
    if (argv[0] === 'rm') throw new CommandError('rm: Input/output error')
    return runCommand(argv, options)
  }
  const open = () =>
    openOciVolumes({ folder, disk: 'folder', log: createLogger('test', 'silent'), run, isUsed: () => false })
  await (await open()).make('kept', {})
  await mkdir(join(folder, 'x.draft-1'))
  expect(await (await open()).get('kept')).toMatchObject({ volumeId: 'kept' })
  await rm(folder, { recursive: true })
})

describe('a mount that means harm', () => {
  const create = (volumes: NonNullable<SandboxSpec['volumes']>, snapshot = 'tiny') =>
    harness.driver.create('refused', {
      ...{ snapshot, user: 'daytona', network: 'none', volumes },
      limits: { cpu: 1, memoryGiB: 0.25, diskGiB: 0.25, pids: 64 },
    })

  it('is refused by its path', async () => {
    await harness.driver.volumes.make('v', { sizeGiB: 0.1 })
    const paths = ['//', '/a/', '/a//b', '/a/../b', '/./a', '/proc', '/proc/sys', '/sys/x', '/dev', '/dev/shm', '/opt']
    for (const mountPath of [
      ...paths,
      '/opt/atoll',
      '/opt/atoll/x',
      '/run',
      '/run/atoll',
      '/a\nb',
      '/a\0b',
      `/${'x'.repeat(300)}`,
    ]) {
      await expect(create([{ volumeId: 'v', mountPath }]), mountPath).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
    for (const mountPath of ['/usr', '/usr/local/x']) {
      await expect(create([{ volumeId: 'v', mountPath }], 'host')).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
    for (const subpath of ['..', 'a/../..', '/etc', 'a//b', '.', 'a\nb']) {
      const mount = { volumeId: 'v', mountPath: '/v', subpath }
      await expect(create([mount]), subpath).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    }
    const twice = { volumeId: 'v', mountPath: '/v' }
    await expect(create([twice, twice])).rejects.toMatchObject({ code: 'BAD_REQUEST' })
    await expect(create([{ volumeId: 'nobody', mountPath: '/v' }])).rejects.toMatchObject({ code: 'VOLUME_NOT_FOUND' })
  })

  it('covers nothing of Atoll and nothing of the host through links in the image', async () => {
    await harness.driver.volumes.make('links', { sizeGiB: 0.1 })
    const start = (sandboxId: string, ...paths: string[]) => {
      const volumes = paths.map((mountPath) => ({ volumeId: 'links', mountPath }))
      return harness.startSandbox(sandboxId, { snapshot: 'tiny', volumes })
    }
    const sandbox = await start('linked', '/to-atoll', '/to-etc/made-by-a-mount')
    expect((await sandbox.exec('ls /opt/atoll')).stdout).toContain('node\n')
    expect((await sandbox.exec('touch /opt/atoll/x')).code).not.toBe(0)
    // One runtime refuses this mount; under the other, Atoll's own mount covers it.
    const covered = await start('covered', '/to-proc').catch(() => undefined)
    if (covered) expect((await covered.exec('cat /proc/self/comm')).stdout).toBe('cat\n')
    await expect(stat('/etc/made-by-a-mount')).rejects.toMatchObject({ code: 'ENOENT' })
  })

  it('leads nowhere through links in the volume or in what a sandbox changed', async () => {
    await harness.driver.volumes.make('evil', { sizeGiB: 0.1 })
    const whole = { volumeId: 'evil', mountPath: '/evil' }
    const first = await harness.startSandbox('evil-1', { snapshot: 'tiny', user: 'root', volumes: [whole] })
    await first.exec('ln -s / /evil/root; ln -s ../../../../../../../.. /evil/up; mkdir /evil/a; ln -s /etc /evil/a/b')
    for (const subpath of ['root', 'up', 'root/etc', 'a/b', 'a/b/made-by-a-subpath']) {
      const sandbox = harness.startSandbox('evil-2', { snapshot: 'tiny', volumes: [{ ...whole, subpath }] })
      await expect(sandbox, subpath).rejects.toMatchObject({ code: 'SANDBOX_START_FAILED' })
      await harness.driver.remove('evil-2')
    }
    expect(await readdir('/etc')).not.toContain('made-by-a-subpath')
    // The mount point itself becomes a link while the sandbox is stopped.
    const hosted = { user: 'root', volumes: [{ volumeId: 'evil', mountPath: '/srv/mine' }] }
    const second = await harness.startSandbox('evil-3', hosted)
    await second.exec('rm -rf /srv; ln -s /usr/lib/made-by-a-link /srv')
    await harness.driver.stop('evil-3', 0)
    await harness.startSandbox('evil-3', hosted).catch(() => undefined)
    expect(await readdir('/usr/lib')).not.toContain('made-by-a-link')
  })

  it('leads nowhere while another sandbox swaps folders for links at this moment', async () => {
    await harness.driver.volumes.make('swap', { sizeGiB: 0.1 })
    const whole = { volumeId: 'swap', mountPath: '/swap' }
    const swapper = await harness.startSandbox('swap-1', { snapshot: 'tiny', user: 'root', volumes: [whole] })
    const swap = 'rm -rf x; mkdir x; rm -rf x; ln -s / x'
    await swapper.exec(`cd /swap; while true; do ${swap}; done >/dev/null 2>&1 &`)
    for (let round = 0; round < 15; round += 1) {
      const volumes = [{ ...whole, mountPath: '/mine', subpath: 'x/etc' }]
      const sandbox = await harness.startSandbox('swap-2', { snapshot: 'tiny', volumes }).catch(() => undefined)
      if (sandbox) expect((await sandbox.exec('ls /mine')).stdout).toBe('')
      await harness.driver.remove('swap-2')
    }
  })

  it('gives no device and no privilege', async () => {
    await harness.driver.volumes.make('plain', { sizeGiB: 0.1 })
    const sandbox = await harness.startSandbox('plain-1', {
      ...{ snapshot: 'tiny', user: 'root' },
      volumes: [{ volumeId: 'plain', mountPath: '/plain' }],
    })
    expect((await sandbox.exec('grep " /plain " /proc/mounts')).stdout).toMatch(/ext4 rw,nosuid,nodev/)
    expect(await mkdir(join(harness.dataDir, 'volumes/x.draft-1')).then(() => harness.reopen())).toBeUndefined()
    expect(await readdir(join(harness.dataDir, 'volumes'))).not.toContain('x.draft-1')
  })
})
