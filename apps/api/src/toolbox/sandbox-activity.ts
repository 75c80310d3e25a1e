import type { Logger } from '@atoll/service'
import type { TunnelRegistry } from '../tunnels/tunnel-registry.ts'

/** The interval of writes, and the longest delay until the end of a call or a stream is seen. */
const FLUSH_INTERVAL_MS = 1_000

/** The looks after which sandboxes still in use are written, without a flush, too: every ten seconds. */
const LOOKS_PER_USE = 10

/** The most sandboxes whose activity is held, in some 20 MB; above it the one used longest ago is forgotten. */
const MAX_HELD = 100_000

export interface SandboxActivityOptions {
  /** Writes the times of use (milliseconds since the epoch) by sandbox id. */
  write: (activity: ReadonlyMap<string, number>) => Promise<void>
  /** The tunnels with open calls or streams: a watched terminal or a long command uses a sandbox, too. */
  tunnels: Pick<TunnelRegistry, 'busyIds' | 'isBusy'>
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** 100,000 by default. */
  maxHeld?: number
}

/** Remembers when sandboxes were used, and writes it once a second under any load. Disposing writes the rest. */
export interface SandboxActivity extends AsyncDisposable {
  record(sandboxId: string): void
  /** Whether the sandbox is in use, or its last use is not written yet. */
  isUsed(sandboxId: string): boolean
  /**
   * Writes the held times now, and the current time for sandboxes in use. Returns false when the write failed: the
   * times are held until one succeeds.
   */
  flush(): Promise<boolean>
}

export function createSandboxActivity(options: SandboxActivityOptions): SandboxActivity {
  const { tunnels, log, now, maxHeld = MAX_HELD } = options
  /** The times by sandbox, the one used longest ago first. */
  let held = new Map<string, number>()
  /** The times that are being written. */
  let batch: ReadonlyMap<string, number> = new Map()
  let writing: Promise<boolean> | undefined
  let busy: ReadonlySet<string> = new Set()
  /** The looks since the sandboxes in use were held last. */
  let looks = 0
  const timer = setInterval(tick, FLUSH_INTERVAL_MS).unref()

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

  /** Notes a use until now for sandboxes whose calls and streams have ended since the last look. */
  function see(): void {
    const before = busy
    busy = new Set(tunnels.busyIds())
    for (const id of before) if (!busy.has(id)) hold(id)
  }

  function holdBusy(): void {
    for (const id of busy) hold(id)
    looks = 0
  }

  /**
   * Sandboxes whose use has ended are written each second, those still in use more seldom; yet not only when this replica looks
   * for what is due, since that may take it minutes, and other replicas look meanwhile.
   */
  function tick(): void {
    see()
    looks += 1
    if (looks === LOOKS_PER_USE) holdBusy()
    void write()
  }

  /** Writes the held times, or joins the write that is under way. */
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
    // A write that is under way does not include newer times.
    await writing
    return await write()
  }

  return {
    record: hold,
    isUsed: (sandboxId) => held.has(sandboxId) || batch.has(sandboxId) || tunnels.isBusy(sandboxId),
    async flush() {
      see()
      holdBusy()
      return await writeAll()
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer)
      await writeAll()
    },
  }
}
