import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { isAlive } from '@atoll/service'
import { afterEach, expect, it } from 'vitest'
import { CommandError, runCommand } from '../../run-command.ts'
import type { SnapshotHarness } from '../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../testing/snapshot-harness.ts'
import { readRunRecord, sandboxFolder } from './sandbox-folder.ts'

let harness: SnapshotHarness | undefined
afterEach(() => harness?.[Symbol.asyncDispose]())

const withoutPool: typeof runCommand = (argv, options) =>
  argv[0] === 'mkfs.xfs' ? Promise.reject(new CommandError('mkfs.xfs is not there')) : runCommand(argv, options)
const withoutImages: typeof runCommand = (argv, options) =>
  argv.includes('loop') ? Promise.reject(new CommandError('no loop devices')) : withoutPool(argv, options)

it.each([
  ['a disk in a pool', runCommand],
  ['an image of its own', withoutPool],
  ['a folder', withoutImages],
])('a sandbox on %s, whose monitor was killed, is archived and forked while it runs', async (_, run) => {
  harness = await createSnapshotHarness({ run })
  const { driver, dataDir } = harness
  const sandbox = await harness.startSandbox('a', { user: 'root' })
  const record = await readRunRecord(sandboxFolder(join(dataDir, 'sandboxes'), 'a'))
  if (record === undefined) throw new Error('the sandbox does not run')
  process.kill(record.monitor.pid, 'SIGKILL')
  await sandbox.exec('echo written > late')
  await expect.poll(() => isAlive(record.monitor)).toBe(false)

  const name = { sandboxId: 'a', archiveId: randomUUID() }
  const { bytes } = await driver.archives.stage(name, new AbortController().signal)
  expect((await buffer(await driver.archives.read(name, { from: 0, bytes }))).length).toBe(bytes)
  const fork = await harness.startSandbox('fork', { user: 'root', forkOf: 'a' })
  expect((await fork.exec('cat late')).stdout).toBe('written\n')
  expect((await sandbox.exec('cat late && echo more >> late')).stdout).toBe('written\n')

  await driver.stop('a', 0)
  const again = await harness.startSandbox('a', { user: 'root' })
  expect((await again.exec('cat late')).stdout).toBe('written\nmore\n')
})
