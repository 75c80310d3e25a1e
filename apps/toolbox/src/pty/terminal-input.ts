/** With more unread bytes than this the toolbox stops reading from clients; at the low mark it reads again. */
export const INPUT_HIGH_BYTES = 256 * 1024
export const INPUT_LOW_BYTES = 64 * 1024
/** The most bytes queued for a program. */
export const MAX_INPUT_BYTES = 8 * 1024 * 1024
/** How long a program may read nothing of a queue over the high mark before the queue is dropped. */
const INPUT_STALL_MS = 20_000
/** The time between two tries at a full terminal: doubled from the first to the last. */
const FIRST_RETRY_MS = 2
const LAST_RETRY_MS = 64
/** Bytes offered to the terminal at once. */
const MAX_WRITE_BYTES = 64 * 1024

export interface TerminalInputOptions {
  /** Returns how many of the bytes the terminal took; 0 when it takes none at present. */
  write(bytes: Buffer): number
  /** Called when the queue has fallen to the low mark after it was above the high one. */
  onDrain(): void
  /** Called when the program does not read, after the queue was dropped. */
  onStall(): void
  stallMs?: number
}

/** Input that the program has not read yet. */
export interface TerminalInput {
  /** Queues bytes, which must not be changed afterwards, and returns true; returns false when they would be too many. */
  write(bytes: Buffer): boolean
  /** Whether the queue is above the high mark, or has not fallen to the low one since. */
  readonly full: boolean
  /** Drops the queue and ignores later input. */
  close(): void
}

export function createTerminalInput(options: TerminalInputOptions): TerminalInput {
  const { onDrain, onStall, stallMs = INPUT_STALL_MS } = options
  let queue: Buffer[] = []
  let bytes = 0
  let full = false
  let closed = false
  let retry: NodeJS.Timeout | undefined
  let retryMs = FIRST_RETRY_MS
  let stalledAt: number | undefined

  function pump(): void {
    retry = undefined
    let taken = 0
    for (let piece = queue[0]; piece !== undefined; piece = queue[0]) {
      const written = options.write(piece.subarray(0, MAX_WRITE_BYTES))
      if (written === 0) break
      taken += written
      if (written === piece.length) queue.shift()
      else queue[0] = piece.subarray(written)
    }
    bytes -= taken
    if (taken > 0) {
      retryMs = FIRST_RETRY_MS
      stalledAt = undefined
    }
    if (queue.length > 0) tryAgain()
    if (full && bytes <= INPUT_LOW_BYTES) {
      full = false
      onDrain()
    }
  }

  function tryAgain(): void {
    const now = performance.now()
    stalledAt ??= now
    if (full && now - stalledAt > stallMs) {
      clear()
      onStall()
      return
    }
    retry = setTimeout(pump, retryMs)
    retryMs = Math.min(2 * retryMs, LAST_RETRY_MS)
  }

  function clear(): void {
    queue = []
    bytes = 0
    full = false
    stalledAt = undefined
    clearTimeout(retry)
    retry = undefined
  }

  return {
    write(given) {
      if (closed || given.length === 0) return true
      if (bytes + given.length > MAX_INPUT_BYTES) return false
      queue.push(given)
      bytes += given.length
      full ||= bytes > INPUT_HIGH_BYTES
      if (retry === undefined) pump()
      return true
    },
    get full() {
      return full
    },
    close() {
      closed = true
      clear()
    },
  }
}
