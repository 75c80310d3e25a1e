import type { Socket } from 'node:net'

/** The interval at which connections are checked. */
const SWEEP_INTERVAL_MS = 15_000

export interface Watched {
  /** The client's connection. */
  readonly socket: Socket
  /** The connection is closed after this long without a byte. */
  readonly limitMs: number
  /** Called when bytes have moved since the last check. */
  readonly onMoved: () => void
}

/** Closes connections on which nothing moves in either direction. Disposing ends the watch, not the connections. */
export interface IdleWatch extends Disposable {
  /** Watches until the returned function is called. */
  add(watched: Watched): () => void
  /** Checks every connection now. */
  sweep(): void
}

interface Seen {
  bytes: number
  /** The time by `now`. */
  movedAt: number
}

/** `now` returns milliseconds of a monotonic clock. One timer serves all connections. */
export function createIdleWatch({ now }: { now: () => number }): IdleWatch {
  const watching = new Map<Watched, Seen>()

  function sweep(): void {
    for (const [watched, seen] of watching) {
      const bytes = bytesOf(watched.socket)
      if (bytes !== seen.bytes) {
        Object.assign(seen, { bytes, movedAt: now() })
        watched.onMoved()
      } else if (now() - seen.movedAt >= watched.limitMs) watched.socket.destroy()
    }
  }

  const timer = setInterval(sweep, SWEEP_INTERVAL_MS)
  timer.unref()
  return {
    add(watched) {
      watching.set(watched, { bytes: bytesOf(watched.socket), movedAt: now() })
      return () => watching.delete(watched)
    },
    sweep,
    [Symbol.dispose]() {
      clearInterval(timer)
      watching.clear()
    },
  }
}

function bytesOf({ bytesRead, bytesWritten }: Socket): number {
  return bytesRead + bytesWritten
}
