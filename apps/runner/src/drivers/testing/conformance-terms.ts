import { expect } from 'vitest'
import type { DriverHarness, ProbedSandbox } from './driver-harness.ts'

/** Returns the harness that the parts of the conformance suite share. */
export type GetHarness = () => DriverHarness

export const START = { toolboxToken: 'a-token-of-sixteen', env: {} }
/** Longer than any process under test needs to end by itself, in milliseconds. */
export const GRACE_MS = 10_000
/** How long the traces of a stopped sandbox may remain on the host, in milliseconds. */
export const ENDS_WITHIN_MS = 60_000

/** Returns the traces of stopped sandboxes. */
export function folders(...sandboxes: ProbedSandbox[]): string[] {
  return sandboxes.map(({ sandboxId }) => `folder ${sandboxId}`).sort()
}

/** Waits for these traces, until the kernel has written back the sandboxes' disks, which others may write to as well. */
export async function expectTraces(get: GetHarness, wanted: readonly string[]): Promise<void> {
  await expect.poll(() => get().traces(), { timeout: ENDS_WITHIN_MS }).toEqual(wanted)
}
