import type { Logger } from '@atoll/service'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'

/** How often activity is written, and how late the end of a call or a stream is seen. */
const FLUSH_INTERVAL_MS = 1_000

/** Sandboxes of which activity is held at most, in some 20 MB; of more the one that was used longest ago is forgotten. */
const MAX_HELD = 100_000

export interface SandboxActivityOptions {
  /** Writes times (milliseconds since the epoch) by sandbox id. */
  write: (activity: ReadonlyMap<string, number>) => Promise<void>
  /** Where a call or a stream is open: who watches a terminal or waits for a long command uses a sandbox, too. */
  tunnels: Pick<TunnelRegistry, 'busyIds' | 'isBusy'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** 100,000 by default. */
  maxHeld?: number
}

/** Remembers when sandboxes were used, and writes it once a second whatever the load. Disposing writes the rest. */
export interface SandboxActivity extends AsyncDisposable {
  record(sandboxId: string): void
  /** Whether it is in use, or has been and that is not written yet. */
  isUsed(sandboxId: string): boolean
  /** Writes now what is held, and of what is in use that it is. False when that failed: it is held until it succeeds. */
  flush(): Promise<boolean>
}

export function createSandboxActivity(options: SandboxActivityOptions): SandboxActivity {
  const { tunnels, log, now, maxHeld = MAX_HELD } = options
  /** What was used longest ago comes first. */
  let held = new Map<string, number>()
  /** What is being written. */
  let batch: ReadonlyMap<string, number> = new Map()
  let writing: Promise<boolean> | undefined
  let busy: ReadonlySet<string> = new Set()
  const timer = setInterval(tick, FLUSH_INTERVAL_MS)
  timer.unref()

  function hold(sandboxId: string): void {
    held.delete(sandboxId)
    held.set(sandboxId, now())
    forgetOldest()
  }

  function forgetOldest(): void {
    for (const id of held.keys()) {
      if (held.size <= maxHeld) return
      held.delete(id)
    }
  }

  /** What was going on and has ended was use until now. */
  function see(): void {
    const before = busy
    busy = new Set(tunnels.busyIds())
    for (const id of before) if (!busy.has(id)) hold(id)
  }

  /** What goes on is not written each second; that it has ended is. */
  function tick(): void {
    see()
    void write()
  }

  /** One write at a time: joins the one that is under way. */
  function write(): Promise<boolean> {
    writing ??= writeHeld().finally(() => {
      writing = undefined
    })
    return writing
  }

  async function writeHeld(): Promise<boolean> {
    if (held.size === 0) return true
    batch = held
    held = new Map()
    try {
      await options.write(batch)
      return true
    } catch (error) {
      log.warn({ err: error, sandboxes: batch.size }, 'activity could not be written; it is tried again')
      const since = held
      held = new Map(batch)
      for (const [id, at] of since) {
        held.delete(id)
        held.set(id, at)
      }
      forgetOldest()
      return false
    } finally {
      batch = new Map()
    }
  }

  async function writeAll(): Promise<boolean> {
    // A write that is under way has nothing of what came since.
    await writing
    return await write()
  }

  return {
    record: hold,
    isUsed: (sandboxId) => held.has(sandboxId) || batch.has(sandboxId) || tunnels.isBusy(sandboxId),
    async flush() {
      see()
      for (const id of busy) hold(id)
      return await writeAll()
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await writeAll()
    },
  }
}
