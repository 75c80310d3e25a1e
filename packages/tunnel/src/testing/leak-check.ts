import { afterAll, beforeAll, expect } from 'vitest'

/** Sockets close in their own time; this bounds waiting for it. */
const SETTLE_DEADLINE_MS = 30_000

const watched = ['Timeout', 'Immediate', 'TCPSocketWrap', 'TCPServerWrap', 'PipeServerWrap', 'HTTPINCOMINGMESSAGE']

/** At the end of the file, demands that its tests have left no timer, socket or server behind. */
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

/** One turn of the event loop, in which what was closed is let go. */
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
  // The runner's own deadline for this check is a timer as well.
  const own: Record<string, number> = { Timeout: 1, Immediate: 1 }
  return watched.filter((name) => (now[name] ?? 0) > (before[name] ?? 0) + (own[name] ?? 0))
}
