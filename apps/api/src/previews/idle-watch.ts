import type { Socket } from 'node:net'

/** How often connections are looked at. */
const SWEEP_INTERVAL_MS = 15_000

export interface Watched {
  /** The client's connection. */
  readonly socket: Socket
  /** It is cut when nothing moved on it for so long. */
  readonly limitMs: number
  /** Something has moved since it was last looked at. */
  readonly onMoved: () => void
}

/** Cuts connections on which nothing moves in either direction. Disposing ends the watch, not the connections. */
export interface IdleWatch extends Disposable {
  /** Watches until the function returned is called. */
  add(watched: Watched): () => void
  /** Looks at every connection now. */
  sweep(): void
}

interface Seen {
  bytes: number
  /** By the clock. */
  movedAt: number
}

/** `now` is in milliseconds, of a clock that nobody sets. One timer serves all connections. */
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
