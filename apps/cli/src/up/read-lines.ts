import type { Readable } from 'node:stream'

/** The longest line; longer ones are cut, because people read log lines. */
export const LINE_MAX_CHARACTERS = 64 * 1024

/** Calls `onLine` for each line of a stream, an unfinished last one included; cuts lines over the bound. */
export function readLines(stream: Readable, onLine: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (text: string) => {
    const lines = (rest + text).split('\n')
    rest = (lines.pop() ?? '').slice(0, LINE_MAX_CHARACTERS)
    for (const line of lines) onLine(line.slice(0, LINE_MAX_CHARACTERS))
  })
  stream.once('end', () => {
    if (rest !== '') onLine(rest)
  })
}
