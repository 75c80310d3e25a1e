import { LRUCache } from 'lru-cache'

/** Wrong tokens that one source may try at once. */
const BURST = 30

/** Tries that a source gets back each second. */
const REFILL_PER_S = 1

const MAX_SOURCES = 10_000

/** Bounds what guessing tokens costs: each failure takes from a bucket of its source, which refills slowly. */
export interface FailureLimiter {
  allows(source: string): boolean
  failed(source: string): void
}

/** `now` in milliseconds. */
export function createFailureLimiter(now: () => number): FailureLimiter {
  const buckets = new LRUCache<string, { left: number; at: number }>({ max: MAX_SOURCES })

  function left(source: string): number {
    const bucket = buckets.get(source)
    if (bucket === undefined) return BURST
    return Math.min(BURST, bucket.left + ((now() - bucket.at) / 1000) * REFILL_PER_S)
  }

  return {
    allows: (source) => left(source) >= 1,
    failed: (source) => buckets.set(source, { left: left(source) - 1, at: now() }),
  }
}
