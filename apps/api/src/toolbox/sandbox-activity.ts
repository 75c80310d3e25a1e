import type { Logger } from '@atoll/service'

/** How often activity is written, and how late the end of a call or a stream is seen. */
const FLUSH_INTERVAL_MS = 1_000

/** Sandboxes of which activity is held; with more it is written at once. */
const MAX_HELD = 10_000

export interface SandboxActivityOptions {
  /** Writes times (milliseconds since the epoch) by sandbox id. */
  write: (activity: ReadonlyMap<string, number>) => Promise<void>
  /** Sandboxes of which a call or a stream is open now: who watches a terminal or waits for a long command uses them, too. */
  busyIds: () => string[]
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
}

/** Remembers when sandboxes were used, and writes it once a second whatever the load. Disposing writes the rest. */
export interface SandboxActivity extends AsyncDisposable {
  record(sandboxId: string): void
  /** Writes now what is held, and of what is in use that it is. */
  flush(): Promise<void>
}

export function createSandboxActivity({ write, busyIds, log, now }: SandboxActivityOptions): SandboxActivity {
  let held = new Map<string, number>()
  let flushing: Promise<void> = Promise.resolve()
  let busy: ReadonlySet<string> = new Set()
  const timer = setInterval(tick, FLUSH_INTERVAL_MS)
  timer.unref()

  /** What was going on and has ended was use until now. */
  function see(): void {
    const before = busy
    busy = new Set(busyIds())
    for (const id of before) if (!busy.has(id)) held.set(id, now())
  }

  /** What goes on is not written each second; that it has ended is. */
  function tick(): void {
    see()
    flush()
  }

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
    async flush() {
      see()
      for (const id of busy) held.set(id, now())
      flush()
      await flushing
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      flush()
      await flushing
    },
  }
}
