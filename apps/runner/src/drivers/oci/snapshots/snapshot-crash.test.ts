import { afterAll, beforeAll, expect, it } from 'vitest'
import type { DriverHarness } from '../../testing/driver-harness.ts'
import { createOciHarness } from '../../testing/oci-harness.ts'

let harness: DriverHarness

beforeAll(async () => {
  harness = await createOciHarness({ network: 'none' })
})
afterAll(() => harness?.[Symbol.asyncDispose]())

it('a runner killed while it makes snapshots leaves nothing of them, and its sandboxes run on', async () => {
  const sandbox = await harness.startSandbox()
  const { sandboxId } = sandbox
  await sandbox.exec('mkdir ~/many; cd ~/many; for i in $(seq 4000); do echo $i >$i; done', { deadlineMs: 60_000 })
  const before = await harness.traces()
  const source = { kind: 'sandbox', sandboxId } as const
  for (const ref of ['one', 'two', 'three']) await harness.driver.snapshots.make(ref, { source })
  // On a slow machine the snapshot may already be a step further.
  await expect.poll(async () => (await harness.driver.snapshots.get('one')).state).toMatch(/^(pulling|validating)$/)
  await harness.crash()
  // The sandbox was frozen while it was copied; the new runner lets it run on.
  expect((await sandbox.exec('ls ~/many | wc -l')).stdout).toBe('4000\n')
  await expect(harness.driver.snapshots.get('one')).rejects.toMatchObject({ code: 'SNAPSHOT_NOT_FOUND' })
  await expect.poll(() => harness.traces(), { timeout: 30_000 }).toEqual(before)
  await harness.driver.snapshots.make('one', { source })
  await expect.poll(async () => (await harness.driver.snapshots.get('one')).state, { timeout: 60_000 }).toBe('active')
  const copy = await harness.startSandbox({ snapshot: 'one' })
  expect((await copy.exec('ls ~/many | wc -l')).stdout).toBe('4000\n')
})

it('one killed while it tries a snapshot removes the sandbox it was tried with', async () => {
  const sandbox = await harness.startSandbox()
  const before = await harness.traces()
  const { snapshots } = harness.driver
  await snapshots.make('tried', { source: { kind: 'sandbox', sandboxId: sandbox.sandboxId } })
  await expect
    .poll(async () => (await snapshots.get('tried')).state, { interval: 10, timeout: 30_000 })
    .toBe('validating')
  await expect.poll(async () => (await harness.traces()).length, { timeout: 30_000 }).toBeGreaterThan(before.length)
  await harness.crash()
  await expect.poll(() => harness.traces(), { timeout: 30_000 }).toEqual(before)
  expect(await harness.driver.list()).not.toContainEqual(
    expect.objectContaining({ sandboxId: expect.stringContaining('try') }),
  )
})
