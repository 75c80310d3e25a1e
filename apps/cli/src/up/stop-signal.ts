import type { EventEmitter } from 'node:events'

/**
 * One Ctrl-C under npm arrives twice: from the terminal, and passed on by npm. A signal within this time after the first
 * counts as the same one.
 */
export const SAME_WISH_MS = 1_000

const STOP_SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const

export interface StopSignal {
  /** Aborts at the first signal, or when the parent process on the IPC channel is gone. */
  readonly stop: AbortSignal
  /** Aborts at the second signal: the system then ends at once, even if that leaves something behind. */
  readonly force: AbortSignal
  dispose(): void
}

/** Listens for signals on `source`, which is the process except in tests; `now` is in milliseconds. */
export function listenForStop(source: EventEmitter, now: () => number = Date.now): StopSignal {
  const stop = new AbortController()
  const force = new AbortController()
  let firstAt = 0
  const onSignal = () => {
    if (!stop.signal.aborted) {
      firstAt = now()
      stop.abort()
    } else if (now() - firstAt > SAME_WISH_MS) {
      force.abort()
    }
  }
  const events = [...STOP_SIGNALS, 'disconnect']
  for (const event of events) source.on(event, onSignal)
  return {
    stop: stop.signal,
    force: force.signal,
    dispose: () => {
      for (const event of events) source.removeListener(event, onSignal)
    },
  }
}
