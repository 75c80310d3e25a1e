import { afterAll, beforeAll, expect, it } from 'vitest'
import type { DriverHarness } from '../testing/driver-harness.ts'
import { createOciHarness } from '../testing/oci-harness.ts'

let harness: DriverHarness

beforeAll(async () => {
  harness = await createOciHarness()
})
afterAll(() => harness?.[Symbol.asyncDispose]())

it('a try of the host that its runner was killed in leaves nothing', async () => {
  await harness.startSandbox({}, { sandboxId: 'try-0' })
  await harness.crash()
  expect(await harness.driver.list()).toEqual([])
  await expect.poll(() => harness.traces()).toEqual([])
})
