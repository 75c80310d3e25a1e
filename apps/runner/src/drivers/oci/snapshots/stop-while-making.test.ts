import { join } from 'node:path'
import type { SandboxStatus } from '@atoll/protocol'
import { afterAll, beforeAll, expect, it } from 'vitest'
import type { RunCommand } from '../../../run-command.ts'
import { runCommand } from '../../../run-command.ts'
import type { SnapshotHarness } from '../../testing/snapshot-harness.ts'
import { createSnapshotHarness } from '../../testing/snapshot-harness.ts'
import { writeTinyRoot } from '../../testing/tiny-root.ts'

let onFlush = () => {}
const flushing = new Promise<void>((resolve) => {
  onFlush = resolve
})
let letFlush = () => {}
const flushed = new Promise<void>((resolve) => {
  letFlush = resolve
})

/** Flushes layers only when the test lets it. */
const run: RunCommand = async (argv, options) => {
  if (argv[0] === 'sync') {
    onFlush()
    await flushed
  }
  return runCommand(argv, options)
}

let harness: SnapshotHarness
beforeAll(async () => {
  harness = await createSnapshotHarness({ run })
})
afterAll(async () => {
  letFlush()
  await harness?.[Symbol.asyncDispose]()
})

it('a snapshot in a step that cannot be cut short keeps no sandbox from being stopped and reported', async () => {
  const { driver, directory } = harness
  await harness.startSandbox('one')
  const path = join(directory, 'root')
  await writeTinyRoot(path)
  await driver.snapshots.make('slow', { source: { kind: 'directory', path } })
  await flushing
  const reported = new Promise<SandboxStatus>((resolve) => driver.onStatusChange(resolve))
  const stopped = driver.stopAll(0)
  expect(await reported).toEqual({ sandboxId: 'one', state: 'stopped', reason: 'runner is shutting down' })
  letFlush()
  await stopped
})
