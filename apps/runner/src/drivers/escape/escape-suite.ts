import { afterAll, beforeAll, describe } from 'vitest'
import type { CreateDriverHarness, DriverHarness } from '../testing/driver-harness.ts'
import { describeExhaustion } from './exhaustion-escape.ts'
import { describeHostFilesEscape } from './host-files-escape.ts'
import { describeHostKernelEscape } from './host-kernel-escape.ts'
import { describeHostNetworkEscape } from './host-network-escape.ts'
import { describeHostProcessesEscape } from './host-processes-escape.ts'
import { describeNeighboursEscape } from './neighbours-escape.ts'

/**
 * Tests that processes in a sandbox reach neither its host nor other sandboxes, as its user and as root: each attack is
 * made from inside and its effect is looked for on the host. Every driver must pass; see docs/spec/isolation.md.
 */
export function describeEscape(create: CreateDriverHarness): void {
  describe('escape', () => {
    let harness: DriverHarness | undefined
    beforeAll(async () => {
      harness = await create()
    })
    afterAll(() => harness?.[Symbol.asyncDispose]())
    const getHarness = () => {
      if (!harness) throw new Error('the driver is not ready')
      return harness
    }
    describeHostFilesEscape(getHarness)
    describeHostKernelEscape(getHarness)
    describeHostProcessesEscape(getHarness)
    describeHostNetworkEscape(getHarness)
    describeNeighboursEscape(getHarness)
    describeExhaustion(getHarness)
  })
}
