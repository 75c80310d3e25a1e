import { mkdir, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { GRACE_MS } from '../testing/conformance-terms.ts'
import type { OciHarness } from '../testing/oci-harness.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

let harness: OciHarness
beforeAll(async () => {
  harness = await createOciHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())

/** Puts a folder where its record is, which no file can replace. */
async function makeUnwritable(sandboxId: string): Promise<void> {
  const record = join(harness.folderOf(sandboxId).path, 'sandbox.json')
  await rename(record, `${record}.before`)
  await mkdir(join(record, 'in the way'), { recursive: true })
}

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
