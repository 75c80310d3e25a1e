import type { Finder } from '../literal.ts'
import { MAX_SHOWN_BYTES, showLine } from './text-match.ts'

const NEWLINE = 0x0a
const NOTHING = Buffer.alloc(0)

/** A line that contains the text, and its number from 1. */
export interface FoundLine {
  line: number
  content: string
}

/** Finds the lines of a text that arrives in pieces. Lines may be of any length: only their beginning is kept. */
export interface LineScanner {
  /** Yields lazily: iterate to the end before the next piece. The piece may be reused then. */
  push(piece: Buffer): Iterable<FoundLine>
  /** Yields a last line without a newline. */
  end(): Iterable<FoundLine>
}

/** Makes a scanner for a text, which must not contain a newline. */
export function createLineScanner(finder: Finder): LineScanner {
  let line = 1
  /** State of the line that has begun and not ended: its beginning, its last bytes, and whether it contains the text. */
  let head = NOTHING
  let tail = NOTHING
  let found = false
  let begun = false

  function addToLine(bytes: Buffer): void {
    begun = true
    if (head.length <= MAX_SHOWN_BYTES) {
      head = Buffer.concat([head, bytes.subarray(0, MAX_SHOWN_BYTES + 1 - head.length)])
    }
    if (found) return
    const seam = Buffer.concat([tail, bytes.subarray(0, finder.length - 1)])
    found = finder.indexIn(seam, 0) >= 0 || finder.indexIn(bytes, 0) >= 0
    const last = bytes.length >= finder.length ? bytes : Buffer.concat([tail, bytes])
    tail = Buffer.from(last.subarray(Math.max(0, last.length - finder.length + 1)))
  }

  function endLine(): FoundLine[] {
    const lines = found ? [{ line, content: showLine(head) }] : []
    line += 1
    head = NOTHING
    tail = NOTHING
    found = false
    begun = false
    return lines
  }

  /** Scans from the beginning of a line on: goes from one occurrence to the next, and only counts the lines between. */
  function* wholeLines(piece: Buffer, start: number): Iterable<FoundLine> {
    let position = start
    for (let at = finder.indexIn(piece, position); at >= 0; at = finder.indexIn(piece, position)) {
      skipTo(piece.lastIndexOf(NEWLINE, at) + 1)
      const lineEnd = piece.indexOf(NEWLINE, at)
      if (lineEnd < 0) return addToLine(piece.subarray(position))
      yield { line, content: showLine(piece.subarray(position, Math.min(lineEnd, position + MAX_SHOWN_BYTES + 1))) }
      line += 1
      position = lineEnd + 1
    }
    skipTo(piece.lastIndexOf(NEWLINE) + 1)
    if (position < piece.length) addToLine(piece.subarray(position))

    function skipTo(lineStart: number): void {
      if (lineStart <= position) return
      line += countNewlines(piece, position, lineStart)
      position = lineStart
    }
  }

  return {
    *push(piece) {
      let position = 0
      if (begun) {
        const lineEnd = piece.indexOf(NEWLINE)
        addToLine(lineEnd < 0 ? piece : piece.subarray(0, lineEnd))
        if (lineEnd < 0) return
        yield* endLine()
        position = lineEnd + 1
      }
      yield* wholeLines(piece, position)
    },
    end: () => (begun ? endLine() : []),
  }
}

function countNewlines(bytes: Buffer, start: number, end: number): number {
  let count = 0
  for (let at = bytes.indexOf(NEWLINE, start); at >= 0 && at < end; at = bytes.indexOf(NEWLINE, at + 1)) count += 1
  return count
}
