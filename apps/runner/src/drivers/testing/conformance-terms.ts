import { expect } from 'vitest'
import type { DriverHarness, ProbedSandbox } from './driver-harness.ts'

/** What the parts of the conformance suite share. */
export type GetHarness = () => DriverHarness

export const START = { toolboxToken: 'a-token-of-sixteen', env: {} }
/** More than any process under test needs to end by itself, in milliseconds. */
export const GRACE_MS = 10_000
/** How long what a stopped sandbox had on the host may be there, in milliseconds. */
export const ENDS_WITHIN_MS = 60_000

/** Traces of sandboxes that are stopped. */
export function folders(...sandboxes: ProbedSandbox[]): string[] {
  return sandboxes.map(({ sandboxId }) => `folder ${sandboxId}`).sort()
}

/** What is left of sandboxes on the host, once the kernel has written back their disks, which others may write to as well. */
export async function expectTraces(get: GetHarness, wanted: readonly string[]): Promise<void> {
  await expect.poll(() => get().traces(), { timeout: ENDS_WITHIN_MS }).toEqual(wanted)
}
