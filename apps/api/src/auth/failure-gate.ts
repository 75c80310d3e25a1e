import { AppError } from '@atoll/protocol'
import { LRUCache } from 'lru-cache'
import { createFailureLimiter } from '../http/failure-limiter.ts'

/** The number of wrong credentials that one source may show at once, and the number it gets back each second. */
const BOUNDS = { burst: 100, refillPerS: 2 }

/** Credentials accepted lately: they keep working, however many wrong ones come from the same source. */
const MAX_KNOWN = 10_000

/** The name by which newer clients tell the limits apart: §2 of the contract. */
const BUCKET = 'failed-auth'

/** Bounds the cost of wrong credentials, by source; each replica counts for itself. */
export interface FailureGate {
  /**
   * Runs a costly check, such as a query; an undefined result means that the credential is wrong, and counts. Throws
   * RATE_LIMITED, with the time to come back, to a source that has shown too many wrong credentials.
   */
  check<Found>(attempt: Attempt, work: () => Promise<Found | undefined>): Promise<Found | undefined>
}

export interface Attempt {
  /** The name that `requestSource` returns. */
  source: string
  /** The hash of the credential. */
  hash: string
}

/** `now` is in milliseconds. */
export function createFailureGate(now: () => number): FailureGate {
  const limiter = createFailureLimiter(now, BOUNDS)
  const known = new LRUCache<string, true>({ max: MAX_KNOWN })
  return {
    async check({ source, hash }, work) {
      if (!known.has(hash) && !limiter.allows(source)) throw tooMany(limiter.retryAfterS(source))
      const found = await work()
      if (found === undefined) {
        limiter.failed(source)
        known.delete(hash)
      } else known.set(hash, true)
      return found
    },
  }
}

function tooMany(retryAfterS: number): AppError {
  return rateLimited('Too many wrong credentials', { bucket: BUCKET, limit: BOUNDS.burst, retryAfterS })
}

/** Makes a RATE_LIMITED error with the headers of §2 of the contract. */
export function rateLimited(message: string, limit: { bucket: string; limit: number; retryAfterS: number }): AppError {
  const { bucket, retryAfterS } = limit
  return new AppError('RATE_LIMITED', `${message}; try again in ${retryAfterS} s`, {
    headers: {
      'retry-after': String(retryAfterS),
      [`x-ratelimit-limit-${bucket}`]: String(limit.limit),
      [`x-ratelimit-remaining-${bucket}`]: '0',
      [`x-ratelimit-reset-${bucket}`]: String(retryAfterS),
    },
  })
}
