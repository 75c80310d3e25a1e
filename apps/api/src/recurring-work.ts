import type { Logger } from '@atoll/service'

export interface RecurringWorkOptions {
  /** For the log, when it fails. */
  name: string
  everyMs: number
  /** Should end soon when the signal aborts. */
  work: (signal: AbortSignal) => Promise<void>
  log: Logger
}

/** Work that is done now and then, never twice at once, until it is disposed; that waits for what is under way. */
export interface RecurringWork extends AsyncDisposable {
  /** Begins the rhythm; the first time is after `everyMs`. */
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
