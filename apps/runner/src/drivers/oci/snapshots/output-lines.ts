import type { Readable } from 'node:stream'
import { MAX_SNAPSHOT_LOG_BYTES } from '@atoll/protocol'

const MAX_LINE_BYTES = 8_192
/** How much of an output's end is kept once it is larger than a log. */
const MAX_TAIL_BYTES = 2 * MAX_LINE_BYTES

/** Where the lines of a program's output go. */
export interface LineTaker {
  /** Takes a line without its end; one longer than MAX_LINE_BYTES comes in pieces. */
  take(line: string): void
  /** Counts bytes of which no lines were made. */
  skip(bytes: number): void
}

export interface OutputLines {
  push(chunk: Buffer): void
  /** Makes lines of what is left. */
  end(): void
}

/**
 * Makes lines of an output that may be hostile, as lines cost a hundred times what their bytes do: of its first
 * MAX_SNAPSHOT_LOG_BYTES and, when it ends, of its last MAX_TAIL_BYTES.
 */
export function createOutputLines({ take, skip }: LineTaker): OutputLines {
  let rest = Buffer.alloc(0)
  let seen = 0
  const takeLines = () => {
    for (;;) {
      const end = rest.indexOf(0x0a)
      if (end < 0 && rest.length < MAX_LINE_BYTES) return
      const line = rest.subarray(0, end < 0 ? MAX_LINE_BYTES : Math.min(end, MAX_LINE_BYTES))
      take(line.toString('utf8'))
      rest = rest.subarray(line.length + (end === line.length ? 1 : 0))
    }
  }
  return {
    push(chunk) {
      seen += chunk.length
      rest = Buffer.concat([rest, chunk])
      const excess = rest.length - MAX_TAIL_BYTES
      if (seen <= MAX_SNAPSHOT_LOG_BYTES) takeLines()
      else if (excess > 0) {
        skip(excess)
        rest = rest.subarray(excess)
      }
    },
    end() {
      takeLines()
      if (rest.length > 0) take(rest.toString('utf8'))
    },
  }
}

/** Gives the lines of a stream to `taker`. */
export function forEachLine(stream: Readable, taker: LineTaker): void {
  const lines = createOutputLines(taker)
  stream.on('data', lines.push)
  stream.on('end', lines.end)
}
