/** Output kept for clients that attach later, in bytes. */
export const REPLAY_BYTES = 1024 * 1024
/** The most changes of size within the kept output; output before the oldest of them is dropped. */
const MAX_SIZES = 256
const FIRST_CAPACITY_BYTES = 4096
/** Output whose beginning was cut starts after a line's end, where there is one within this many bytes. */
const CLEAN_START_BYTES = 8192
const NEWLINE = 0x0a

export interface TerminalSize {
  readonly cols: number
  readonly rows: number
}

/** Output that was written for one size. */
export interface RecordedPart extends TerminalSize {
  readonly data: Buffer
}

/** Keeps the end of a terminal's output, split by the sizes it was written for. */
export interface TerminalRecorder {
  take(bytes: Buffer): void
  resize(size: TerminalSize): void
  /** Returns the oldest part first; the last part is of the present size, and may be empty. */
  replay(): RecordedPart[]
  /** Keeps no more than this many bytes from now on. */
  shrink(maxBytes: number): void
}

/** Makes a ring of bytes that grows to its bound as it is filled: a list of chunks would cost more than their bytes. */
export function createTerminalRecorder(size: TerminalSize, maxBytes = REPLAY_BYTES): TerminalRecorder {
  let limit = maxBytes
  let ring = Buffer.alloc(0)
  /** The offsets of the first kept byte and of the end, in all output. */
  let start = 0
  let end = 0
  /** The offset at which each size begins. */
  const sizes: { at: number; size: TerminalSize }[] = [{ at: 0, size }]

  function reserve(bytes: number): void {
    if (bytes <= ring.length) return
    move(Math.min(limit, Math.max(FIRST_CAPACITY_BYTES, 2 * bytes)))
  }

  /** Moves the bytes to a ring of another capacity, in which a byte has another place. */
  function move(capacity: number): void {
    const kept = slice(start, end)
    ring = Buffer.allocUnsafeSlow(capacity)
    write(kept, start)
  }

  function write(bytes: Buffer, at: number): void {
    if (bytes.length === 0) return
    const place = at % ring.length
    const fitting = Math.min(bytes.length, ring.length - place)
    bytes.copy(ring, place, 0, fitting)
    bytes.copy(ring, 0, fitting)
  }

  function slice(from: number, to: number): Buffer {
    if (from >= to) return Buffer.alloc(0)
    const place = from % ring.length
    const first = ring.subarray(place, Math.min(ring.length, place + to - from))
    return Buffer.concat([first, ring.subarray(0, to - from - first.length)])
  }

  function forgetBefore(at: number): void {
    start = Math.max(start, at)
    while ((sizes[1]?.at ?? Number.POSITIVE_INFINITY) <= start) sizes.shift()
  }

  return {
    take(given) {
      const bytes = given.length > limit ? given.subarray(given.length - limit) : given
      end += given.length - bytes.length
      forgetBefore(end + bytes.length - limit)
      reserve(end - start + bytes.length)
      write(bytes, end)
      end += bytes.length
    },
    resize(next) {
      const last = sizes.at(-1)
      if (last?.at === end) sizes.pop()
      sizes.push({ at: end, size: next })
      const oldest = sizes[sizes.length - MAX_SIZES]
      if (oldest !== undefined) forgetBefore(oldest.at)
    },
    replay() {
      return sizes.map(({ at, size: { cols, rows } }, index) => {
        const data = slice(Math.max(at, start), sizes[index + 1]?.at ?? end)
        return { cols, rows, data: index === 0 && start > 0 ? cleanStart(data) : data }
      })
    },
    shrink(bytes) {
      limit = bytes
      forgetBefore(end - limit)
      if (ring.length > limit) move(Math.max(1, end - start))
    },
  }
}

/** Drops the rest of a line, or at least of a character, whose beginning is gone. */
function cleanStart(data: Buffer): Buffer {
  const newline = data.subarray(0, CLEAN_START_BYTES).indexOf(NEWLINE)
  if (newline !== -1) return data.subarray(newline + 1)
  let from = 0
  while (from < data.length && ((data[from] ?? 0) & 0xc0) === 0x80) from += 1
  return data.subarray(from)
}
