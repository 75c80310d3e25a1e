import { AppError } from '@atoll/protocol'

/** Runs a limited number of works at a time. */
export type Turnstile = <Result>(work: () => Promise<Result>) => Promise<Result>

/**
 * Lets `max` works run at a time and `maxWaiting` wait; throws SERVICE_UNAVAILABLE with `refusal` for any further one.
 */
export function createTurnstile(bounds: { max: number; maxWaiting: number; refusal: string }): Turnstile {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= bounds.max) {
      if (waiting.length >= bounds.maxWaiting) throw new AppError('SERVICE_UNAVAILABLE', bounds.refusal)
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running += 1
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) running -= 1
      else next()
    }
  }
}
