/** The most matches in one answer; the header `x-result-limit` tells it, and the answer ends there. */
export const MAX_MATCHES = 100_000
/** The most bytes of a line that are shown. */
export const MAX_SHOWN_BYTES = 1024
/** A file with a NUL byte within these first bytes is binary. */
const BINARY_PROBE_BYTES = 512

const CARRIAGE_RETURN = 0x0d
const NUL = 0

/** One line that contains the text. */
export interface LineMatch {
  /** The path in Latin1, one character a byte. */
  path: string
  /** The number of the line, from 1. */
  line: number
  content: string
}

export function isBinary(start: Buffer): boolean {
  return start.subarray(0, BINARY_PROBE_BYTES).includes(NUL)
}

/** Returns the shown text of a line, given its first MAX_SHOWN_BYTES + 1 bytes, or the whole of a shorter line. */
export function showLine(start: Buffer): string {
  if (start.length > MAX_SHOWN_BYTES) return start.subarray(0, wholeCharacters(start, MAX_SHOWN_BYTES)).toString()
  return start.subarray(0, start.at(-1) === CARRIAGE_RETURN ? -1 : undefined).toString()
}

/** Returns `end`, or less where it would cut a UTF-8 character. */
function wholeCharacters(bytes: Buffer, end: number): number {
  for (let start = end; start > end - 4; start -= 1) {
    if (((bytes[start] ?? 0) & 0xc0) !== 0x80) return start
  }
  return end
}
