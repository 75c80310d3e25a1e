import type { Logger } from '@atoll/service'

export interface RecurringWorkOptions {
  /** Names the work in the log when it fails. */
  name: string
  everyMs: number
  /** The work should end soon after the signal aborts. */
  work: (signal: AbortSignal) => Promise<void>
  log: Logger
}

/** Work that repeats until it is disposed, one run at a time; disposing waits for a run that is under way. */
export interface RecurringWork extends AsyncDisposable {
  /** Starts the timer; the first run begins after `everyMs`. */
  start(): void
}

export function createRecurringWork({ name, everyMs, work, log }: RecurringWorkOptions): RecurringWork {
  const ending = new AbortController()
  let timer: NodeJS.Timeout | undefined
  let running: Promise<void> = Promise.resolve()

  function schedule(): void {
    if (ending.signal.aborted) return
    timer = setTimeout(() => {
      running = work(ending.signal)
        .catch((error: unknown) => {
          if (!ending.signal.aborted)
            log.warn({ err: error }, `${name} failed; it is tried again in ${everyMs / 1_000} s`)
        })
        .then(schedule)
    }, everyMs)
    timer.unref()
  }

  return {
    start: schedule,
    async [Symbol.asyncDispose]() {
      ending.abort()
      clearTimeout(timer)
      await running
    },
  }
}
