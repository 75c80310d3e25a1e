import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RunCommand } from '../../../run-command.ts'
import { CommandError, runCommand } from '../../../run-command.ts'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'

/** Runs commands on a host that cannot mount an image. */
const run: RunCommand = async (argv, options) => {
  if (argv.includes('loop')) throw new CommandError('mount: no loop device')
  return runCommand(argv, options)
}

let harness: SnapshotHarness
beforeAll(async () => {
  harness = await createSnapshotHarness({ run })
})
afterAll(() => harness?.[Symbol.asyncDispose]())

it('a host without loop devices says so', () => {
  expect(harness.driver.info.abilities).toMatchObject({
    quotas: { available: false, reason: 'mount: no loop device' },
    builds: { available: false },
  })
})

it('sandboxes without a disk of their own are snapshotted, running or stopped', async () => {
  const sandbox = await harness.startSandbox('source')
  await sandbox.exec('echo kept >~/file')
  const source = { kind: 'sandbox', sandboxId: 'source' } as const
  expect(await harness.settled('running', { source })).toMatchObject({ state: 'active' })
  await harness.driver.stop('source', 0)
  expect(await harness.settled('stopped', { source })).toMatchObject({ state: 'active' })
  for (const snapshot of ['running', 'stopped']) {
    const copy = await harness.startSandbox(`of-${snapshot}`, { snapshot })
    expect((await copy.exec('cat ~/file')).stdout).toBe('kept\n')
  }
  // A sandbox without an image can be resized, because its disk has no quota to change.
  await harness.driver.resize('source', { diskGiB: 1 })
})

it('volumes are folders, shared and kept', async () => {
  await harness.driver.volumes.make('plain', {})
  const volumes = [{ volumeId: 'plain', mountPath: '/srv/plain', subpath: 'a/b' }]
  const [one, other] = [
    await harness.startSandbox('one', { volumes }),
    await harness.startSandbox('other', { volumes }),
  ]
  await one.exec('echo shared >/srv/plain/file')
  expect((await other.exec('cat /srv/plain/file; grep " /srv/plain " /proc/mounts')).stdout).toMatch(
    /^shared\n.* rw,nosuid,nodev/,
  )
  expect((await harness.driver.volumes.get('plain')).usedGiB).toBeGreaterThan(0)
})

/** Nests folders in the work folder until their whole path is longer than the kernel takes. */
const NEST = `python3 -c "
import os
for _ in range(30):
    os.mkdir('x' * 200)
    os.chdir('x' * 200)
"`

it('folders that are nested deeper than a path can name are removed with their sandbox and their volume', async () => {
  await harness.driver.volumes.make('deep', {})
  const sandbox = await harness.startSandbox('deep', { volumes: [{ volumeId: 'deep', mountPath: '/srv/deep' }] })
  for (const folder of ['~', '/srv/deep']) {
    expect(await sandbox.exec(`cd ${folder} && ${NEST}`)).toMatchObject({ code: 0, stderr: '' })
  }
  await harness.driver.remove('deep')
  await harness.driver.volumes.remove('deep')
  for (const folder of ['sandboxes', 'volumes']) {
    expect((await readdir(join(harness.dataDir, folder))).join()).not.toContain('deep')
  }
})
