import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { GRACE_MS, START } from '../testing/conformance-terms.ts'
import type { OciHarness } from '../testing/oci-harness.ts'
import { createOciHarness } from '../testing/oci-harness.ts'
import { readSandboxRecord } from './sandbox-folder.ts'

const BLOCKED = { blockAll: true }

let harness: OciHarness
beforeAll(async () => {
  harness = await createOciHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())

/** Puts a folder in place of the sandbox's record, which no file can replace. */
async function makeUnwritable(sandboxId: string): Promise<void> {
  const record = join(harness.folderOf(sandboxId).path, 'sandbox.json')
  await rename(record, `${record}.before`)
  await mkdir(join(record, 'in the way'), { recursive: true })
}

it('the rules that come with a start are written down before it runs, and last', async () => {
  const { driver, folderOf } = harness
  const { sandboxId } = await harness.startSandbox({ network: 'nat' })
  await driver.stop(sandboxId, GRACE_MS)
  await driver.start(sandboxId, { ...START, networkRules: { blockAll: false } })
  expect(await readSandboxRecord(folderOf(sandboxId))).not.toHaveProperty('networkRules')
  await driver.stop(sandboxId, GRACE_MS)
  await driver.start(sandboxId, { ...START, networkRules: BLOCKED })
  await driver.stop(sandboxId, GRACE_MS)
  await driver.start(sandboxId, START)
  expect(await readSandboxRecord(folderOf(sandboxId))).toMatchObject({ networkRules: BLOCKED })
  await driver.start(sandboxId, { ...START, networkRules: { blockAll: false } })
  expect(await readSandboxRecord(folderOf(sandboxId))).toMatchObject({ networkRules: { blockAll: false } })
})

it('a sandbox whose new rules cannot be written down does not start', async () => {
  const { driver } = harness
  const { sandboxId } = await harness.startSandbox({ network: 'nat' })
  await driver.stop(sandboxId, GRACE_MS)
  await makeUnwritable(sandboxId)
  await expect(driver.start(sandboxId, { ...START, networkRules: BLOCKED })).rejects.toThrow()
  expect(await driver.get(sandboxId)).toEqual({ sandboxId, state: 'stopped' })
})

it('a sandbox that ends by itself is reported though its reason cannot be written down', async () => {
  const sandbox = await harness.startSandbox()
  const { sandboxId } = sandbox
  await makeUnwritable(sandboxId)
  const status = harness.nextStatus(sandboxId)
  sandbox.exit(3)
  const ended = { sandboxId, state: 'stopped', reason: 'exit 3' }
  expect(await status).toEqual(ended)
  expect(await harness.driver.get(sandboxId)).toEqual(ended)
})

it('so is one that ends with its runner', async () => {
  const { sandboxId } = await harness.startSandbox()
  await makeUnwritable(sandboxId)
  const status = harness.nextStatus(sandboxId)
  await harness.driver.stopAll(GRACE_MS)
  expect(await status).toEqual({ sandboxId, state: 'stopped', reason: 'runner is shutting down' })
})
