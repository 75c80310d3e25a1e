import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** A stream of text in which its writer puts a mark, which tells how far the text had come when an event happened. */
export interface MarkedOutput {
  /** Sets the mark to look for from now on. */
  expect(mark: Buffer): void
  /** Continues behind a mark that was found. */
  pass(): void
  pause(): void
  resume(): void
  /** The number of chunks read so far. */
  readonly arrivals: number
}

/** The source of a text. */
export interface OutputSource {
  readonly stream: Readable
  /** Passes on every chunk that is read from now on; a chunk is valid until `take` returns. */
  listen(take: (chunk: Buffer) => void): void
}

export interface MarkedOutputOptions {
  source: OutputSource
  onText(text: string): void
  /** Called when all text before the mark was passed on; later text waits for `pass`. */
  onMark(): void
}

/** Reads `source`. While it waits, it holds at most the bytes of one read. */
export function createMarkedOutput({ source, onText, onMark }: MarkedOutputOptions): MarkedOutput {
  const { stream } = source
  const decoder = new StringDecoder('utf8')
  let mark: Buffer = Buffer.alloc(0)
  let pending: Buffer = Buffer.alloc(0)
  let marked = false
  let paused = false
  let arrivals = 0

  function give(bytes: Buffer): void {
    const text = decoder.write(bytes)
    if (text !== '') onText(text)
  }

  /** Passes on the text that is certain to be before the next mark. */
  function advance(): void {
    if (marked || pending.length === 0) return
    const found = mark.length === 0 ? -1 : pending.indexOf(mark)
    const end = found === -1 ? pending.length - lengthOfBeginning(pending, mark) : found
    const text = pending.subarray(0, end)
    marked = found !== -1
    pending = pending.subarray(marked ? end + mark.length : end)
    give(text)
    if (marked) {
      stream.pause()
      onMark()
    }
  }

  source.listen((chunk) => {
    arrivals += 1
    pending = Buffer.concat([pending, chunk])
    advance()
  })
  return {
    expect(next) {
      mark = next
    },
    pass() {
      marked = false
      advance()
      if (!(marked || paused)) stream.resume()
    },
    pause() {
      paused = true
      stream.pause()
    },
    resume() {
      paused = false
      if (!marked) stream.resume()
    },
    get arrivals() {
      return arrivals
    },
  }
}

/** Returns how many of the last bytes may be the beginning of a mark. */
function lengthOfBeginning(bytes: Buffer, mark: Buffer): number {
  for (let length = Math.min(mark.length - 1, bytes.length); length > 0; length -= 1) {
    if (bytes.subarray(bytes.length - length).equals(mark.subarray(0, length))) return length
  }
  return 0
}
