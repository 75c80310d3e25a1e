import { LRUCache } from 'lru-cache'

/** The number of failures that are allowed, and how fast a source gets tries back. */
export interface FailureBounds {
  /** Failures that one source may cause at once. */
  burst: number
  /** Tries that a source gets back each second. */
  refillPerS: number
}

const DEFAULT_BOUNDS: FailureBounds = { burst: 30, refillPerS: 1 }

const MAX_SOURCES = 10_000

/** Bounds what guessing secrets costs: each failure takes from a bucket of its source, which refills slowly. */
export interface FailureLimiter {
  readonly bounds: FailureBounds
  allows(source: string): boolean
  failed(source: string): void
  /** Seconds until `allows` returns true. */
  retryAfterS(source: string): number
}

/** `now` is in milliseconds. The state is local to this process. */
export function createFailureLimiter(now: () => number, bounds: FailureBounds = DEFAULT_BOUNDS): FailureLimiter {
  const { burst, refillPerS } = bounds
  const buckets = new LRUCache<string, { left: number; at: number }>({ max: MAX_SOURCES })

  function left(source: string): number {
    const bucket = buckets.get(source)
    if (bucket === undefined) return burst
    return Math.min(burst, bucket.left + ((now() - bucket.at) / 1000) * refillPerS)
  }

  return {
    bounds,
    allows: (source) => left(source) >= 1,
    failed: (source) => buckets.set(source, { left: left(source) - 1, at: now() }),
    retryAfterS: (source) => Math.max(0, Math.ceil((1 - left(source)) / refillPerS)),
  }
}
