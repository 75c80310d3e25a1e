import { afterAll, beforeAll, expect } from 'vitest'

/** The longest wait for sockets to close. */
const SETTLE_DEADLINE_MS = 30_000

const watched = ['Timeout', 'Immediate', 'TCPSocketWrap', 'TCPServerWrap', 'PipeServerWrap', 'HTTPINCOMINGMESSAGE']

/** Checks, after all tests of the file, that they have left no timer, socket or server behind. */
export function expectNothingLeft(): void {
  let before: Record<string, number> = {}
  beforeAll(() => {
    before = countResources()
  })
  afterAll(async () => {
    const deadline = performance.now() + SETTLE_DEADLINE_MS
    while (leftOver(before).length > 0 && performance.now() < deadline) await once()
    expect(leftOver(before)).toEqual([])
  })
}

/** Waits one turn of the event loop, in which closed resources are freed. */
function once(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

function countResources(): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1
  return counts
}

function leftOver(before: Record<string, number>): string[] {
  const now = countResources()
  // The test runner's own deadline for this check is a timer as well.
  const own: Record<string, number> = { Timeout: 1, Immediate: 1 }
  return watched.filter((name) => (now[name] ?? 0) > (before[name] ?? 0) + (own[name] ?? 0))
}
