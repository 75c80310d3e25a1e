import type { Logger } from '@atoll/service'

/** How often activity is written. */
const FLUSH_INTERVAL_MS = 1_000

/** Sandboxes of which activity is held; with more it is written at once. */
const MAX_HELD = 10_000

export interface SandboxActivityOptions {
  /** Writes times (milliseconds since the epoch) by sandbox id. */
  write: (activity: ReadonlyMap<string, number>) => Promise<void>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Remembers when sandboxes were used, and writes it once a second whatever the load. Disposing writes the rest. */
export interface SandboxActivity extends AsyncDisposable {
  record(sandboxId: string): void
}

export function createSandboxActivity({ write, log, now }: SandboxActivityOptions): SandboxActivity {
  let held = new Map<string, number>()
  let flushing: Promise<void> = Promise.resolve()
  const timer = setInterval(flush, FLUSH_INTERVAL_MS)
  timer.unref()

  function flush(): void {
    if (held.size === 0) return
    const batch = held
    held = new Map()
    flushing = flushing
      .then(() => write(batch))
      .catch((error: unknown) => log.warn({ err: error, sandboxes: batch.size }, 'activity could not be written'))
  }

  return {
    record(sandboxId) {
      held.set(sandboxId, now())
      if (held.size >= MAX_HELD) flush()
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      flush()
      await flushing
    },
  }
}
