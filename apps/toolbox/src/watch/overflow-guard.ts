import { readFileSync } from 'node:fs'

const LIMIT_PATH = '/proc/sys/fs/inotify/max_queued_events'
const USUAL_LIMIT = 16_384
/** The share of a full queue's events that Node passes on, at least. */
const PASSED_ON_SHARE = 0.75

/** Finds out when the kernel has dropped events, which Node does not report. */
export interface OverflowGuard {
  /** Call it for each event. */
  count(): void
  /** Adds a listener, called when events may have been dropped. */
  add(onOverflow: () => void): void
  delete(onOverflow: () => void): void
}

/**
 * Counts the events of each turn. All watches of a process share one queue, which is read to its end in one turn of the
 * event loop, so a turn with as many events as the queue holds may have lost some.
 */
export function createOverflowGuard(limit = readLimit()): OverflowGuard {
  const listeners = new Set<() => void>()
  const most = Math.floor(limit * PASSED_ON_SHARE)
  let events = 0
  return {
    count() {
      events += 1
      if (events > 1) return
      setImmediate(() => {
        const overflown = events >= most
        events = 0
        if (overflown) for (const listener of listeners) listener()
      })
    },
    add: (onOverflow) => listeners.add(onOverflow),
    delete: (onOverflow) => listeners.delete(onOverflow),
  }
}

function readLimit(): number {
  try {
    return Number(readFileSync(LIMIT_PATH, 'utf8')) || USUAL_LIMIT
  } catch {
    return USUAL_LIMIT
  }
}
