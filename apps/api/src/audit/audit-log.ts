import type { Logger } from '@atoll/service'
import { isRefusedValue } from '../database/database-fault.ts'
import type { Metrics } from '../http/metrics.ts'
import type { AuditEntry, AuditStore } from './audit-store.ts'

/** The shortest time between two writes. */
const FLUSH_INTERVAL_MS = 1_000
/** The most lines of one write; further lines wait for the next. */
const MAX_LINES_PER_WRITE = 500
/** The most lines held while the database is slow or away, about 10 MB; further lines are lost and counted. */
const MAX_PENDING_LINES = 20_000
/**
 * The most writes of the same lines that the database refuses: then they are dropped, so that a line that cannot be stored does
 * not block the others. Writes that fail because the database is away do not count.
 */
const MAX_TRIES = 60

/** Collects lines about changes, and writes them to the database every second. */
export interface AuditLog {
  /** Adds a line; the caller does not wait for the write. */
  record(entry: AuditEntry): void
  /** Writes all pending lines; stops at a write that fails. */
  flush(): Promise<void>
  /** Writes the pending lines, and none afterwards. */
  close(): Promise<void>
}

export function createAuditLog(options: {
  store: Pick<AuditStore, 'insert'>
  log: Logger
  metrics: Metrics
}): AuditLog {
  const { store, log, metrics } = options
  let pending: AuditEntry[] = []
  let timer: NodeJS.Timeout | undefined
  let writing: Promise<boolean> = Promise.resolve(true)
  let tries = 0
  let lost = 0
  let closed = false
  metrics.gauge('atoll_audit_lines_pending', 'Changes that are not yet in the audit log', () => pending.length)
  metrics.gauge('atoll_audit_lines_lost', 'Changes that the audit log could not take, since the start', () => lost)

  /** Writes one batch; returns false when the batch must be tried again. */
  async function write(): Promise<boolean> {
    const batch = pending.slice(0, MAX_LINES_PER_WRITE)
    if (batch.length === 0) return true
    try {
      await store.insert(batch)
    } catch (error) {
      if (isRefusedValue(error)) tries += 1
      log.warn({ err: error, lines: batch.length, tries }, 'cannot write the audit log')
      if (tries < MAX_TRIES) return false
      lost += batch.length
    }
    tries = 0
    pending = pending.slice(batch.length)
    return true
  }

  function schedule(): void {
    timer ??= setTimeout(() => {
      timer = undefined
      writing = writing.then(write).then((moved) => {
        if (pending.length > 0 && !closed) schedule()
        return moved
      })
    }, FLUSH_INTERVAL_MS)
  }

  async function flush(): Promise<void> {
    let moved = true
    await writing
    while (moved && pending.length > 0) {
      writing = write()
      moved = await writing
    }
  }

  return {
    record(entry) {
      if (closed || pending.length >= MAX_PENDING_LINES) {
        lost += 1
        return
      }
      pending.push(entry)
      schedule()
    },
    flush,
    async close() {
      closed = true
      clearTimeout(timer)
      await flush()
      if (pending.length > 0) log.error({ lines: pending.length }, 'the end of the audit log is lost')
    },
  }
}
