import { EngineError } from './search-engine.ts'
import { MAX_SHOWN_BYTES } from './text-match.ts'

const NUL = 0
const NEWLINE = 0x0a
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
/** The longest heading: a path below the folder, and the words that may follow it. */
const MAX_HEADING_BYTES = 8 * 1024
const LINE_NUMBER = /^\d{1,15}$/
const BINARY = /^(.*): binary file matches \(found "\\0" byte around offset \d+\)$/is

/** An event of ripgrep's output. Paths are Latin1, relative to the folder that is searched. */
export type RipgrepEvent =
  | { path: string; line: number /** At most MAX_SHOWN_BYTES + 1. */; start: Buffer }
  /** A file with NUL bytes that contains the text somewhere: its lines from the first NUL on are not reported. */
  | { path: string; line: undefined }

/**
 * Makes ripgrep write what `createRipgrepParser` reads: `path NUL number:line LF number:line LF LF path NUL …`.
 * NOTE: its JSON would be easier to read, but has every occurrence in every line, and lines of any length.
 */
export const RIPGREP_OUTPUT_ARGS = [
  '--color=never',
  '--heading',
  '--null',
  '--line-number',
  '--binary',
  `--max-columns=${MAX_SHOWN_BYTES}`,
  '--max-columns-preview',
]

/** Reads ripgrep's output as it arrives, in bounded memory. `push` throws EngineError. */
export function createRipgrepParser(): { push(chunk: Buffer): RipgrepEvent[]; readonly isBetween: boolean } {
  let state: 'between' | 'heading' | 'number' | 'line' = 'between'
  let path = ''
  let heading = ''
  let number = ''
  let start: Buffer[] = []
  let kept = 0
  let events: RipgrepEvent[] = []

  /** Each step reads as far as it can from `position` on and returns where it stopped. */
  const steps = {
    between(chunk: Buffer, position: number) {
      const byte = chunk[position] ?? 0
      if (byte === NEWLINE) return position + 1
      if (byte === DOT) state = 'heading'
      else if (byte >= ZERO && byte <= NINE && path !== '') state = 'number'
      else throw new EngineError('neither a heading nor a line')
      heading = ''
      number = ''
      return position
    },
    heading(chunk: Buffer, position: number) {
      const end = firstOf(chunk, position)
      heading += chunk.toString('latin1', position, end)
      if (heading.length > MAX_HEADING_BYTES) throw new EngineError('an endless heading')
      if (end === chunk.length) return end
      if (chunk[end] === NUL) {
        path = inFolder(heading)
        state = 'between'
      } else {
        const binary = binaryFile(heading)
        heading += '\n'
        if (binary !== undefined) {
          events.push({ path: binary, line: undefined })
          path = ''
          state = 'between'
        }
      }
      return end + 1
    },
    number(chunk: Buffer, position: number) {
      const found = chunk.indexOf(COLON, position)
      const end = found < 0 ? chunk.length : found
      number += chunk.toString('latin1', position, end)
      if (!LINE_NUMBER.test(number)) throw new EngineError('no line number')
      if (found < 0) return end
      state = 'line'
      return end + 1
    },
    line(chunk: Buffer, position: number) {
      const found = chunk.indexOf(NEWLINE, position)
      const end = found < 0 ? chunk.length : found
      const piece = chunk.subarray(position, Math.min(end, position + MAX_SHOWN_BYTES + 1 - kept))
      start.push(piece)
      kept += piece.length
      if (found < 0) return end
      events.push({ path, line: Number(number), start: Buffer.concat(start) })
      start = []
      kept = 0
      state = 'between'
      return end + 1
    },
  }

  return {
    push(chunk) {
      events = []
      for (let position = 0; position < chunk.length; ) position = steps[state](chunk, position)
      return events
    },
    get isBetween() {
      return state === 'between'
    },
  }
}

function firstOf(chunk: Buffer, position: number): number {
  const newline = chunk.indexOf(NEWLINE, position)
  const within = newline < 0 ? chunk : chunk.subarray(0, newline)
  const nul = within.indexOf(NUL, position)
  return nul < 0 ? within.length : nul
}

function binaryFile(heading: string): string | undefined {
  const [, path] = BINARY.exec(heading) ?? []
  return path === undefined ? undefined : inFolder(path)
}

function inFolder(heading: string): string {
  if (!heading.startsWith('./')) throw new EngineError('a path outside of the folder')
  return heading.slice(2)
}
