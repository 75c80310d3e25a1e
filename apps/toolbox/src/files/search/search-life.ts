import { AppError } from '@atoll/protocol'

/** The longest time of a search: a search that runs longer has met files that never end. */
const SEARCH_DEADLINE_MS = 600_000

/** Ends every search when its caller goes away, at its deadline, or with the toolbox. */
export interface SearchLife extends Disposable {
  /** Yields the results of `search`, whose signal aborts on all three. Throws REQUEST_TIMEOUT at the deadline. */
  run<Result>(
    caller: AbortSignal,
    search: (stop: AbortSignal) => AsyncIterable<Result>,
  ): AsyncGenerator<Result, void, undefined>
}

export function createSearchLife(options: { deadlineMs?: number } = {}): SearchLife {
  const { deadlineMs = SEARCH_DEADLINE_MS } = options
  const running = new Set<AbortController>()
  return {
    async *run(caller, search) {
      const own = new AbortController()
      const leave = () => own.abort(caller.reason)
      caller.addEventListener('abort', leave)
      const late = () => own.abort(new AppError('REQUEST_TIMEOUT', `no end within ${deadlineMs / 1000} s`))
      const timer = setTimeout(late, deadlineMs)
      running.add(own)
      if (caller.aborted) leave()
      try {
        yield* search(own.signal)
        own.signal.throwIfAborted()
      } finally {
        clearTimeout(timer)
        caller.removeEventListener('abort', leave)
        running.delete(own)
        own.abort()
      }
    },
    [Symbol.dispose]() {
      for (const search of running) search.abort(new AppError('SERVICE_UNAVAILABLE', 'the toolbox is stopping'))
    },
  }
}
