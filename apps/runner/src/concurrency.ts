/** Runs work for one key in the order it came, and work for different keys side by side. */
export interface KeyedQueue {
  run<Result>(key: string, work: () => Promise<Result>): Promise<Result>
}

export function createKeyedQueue(): KeyedQueue {
  const tails = new Map<string, Promise<void>>()
  return {
    run: (key, work) => {
      const result = (tails.get(key) ?? Promise.resolve()).then(work)
      const tail = result.then(
        () => undefined,
        () => undefined,
      )
      tails.set(key, tail)
      void tail.then(() => {
        if (tails.get(key) === tail) tails.delete(key)
      })
      return result
    },
  }
}

/**
 * Does what Promise.all does, but settles only when every promise has settled: the code that handles a failure then meets
 * no work that is still under way.
 */
export async function allOver<Parts extends readonly Promise<unknown>[]>(
  ...parts: Parts
): Promise<{ -readonly [Key in keyof Parts]: Awaited<Parts[Key]> }> {
  await Promise.allSettled(parts)
  return await Promise.all(parts)
}

/** Lets at most `max` pieces of work run at once; the others wait in the order they came. */
export function createConcurrencyLimit(max: number): <Result>(work: () => Promise<Result>) => Promise<Result> {
  const waiting: (() => void)[] = []
  let running = 0
  return async (work) => {
    if (running >= max) await new Promise<void>((resolve) => waiting.push(resolve))
    else running += 1
    try {
      return await work()
    } finally {
      // The next waiting work takes over this place, so the count stays.
      const next = waiting.shift()
      if (next) next()
      else running -= 1
    }
  }
}
