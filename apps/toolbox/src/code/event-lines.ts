import type { Readable } from 'node:stream'

/** The longest event, in bytes; a chart is the largest. */
const MAX_EVENT_BYTES = 16 * 1024 * 1024

/** An event of the interpreter: an object with a type. */
export interface InterpreterEvent {
  readonly type: string
  readonly [field: string]: unknown
}

export interface EventLines {
  /** Continues with the next event. */
  pass(): void
}

/** Reads events one at a time, each only after `pass` for the one before. `onFault` is called once, with what is wrong. */
export function createEventLines(options: {
  source: Readable
  onEvent(event: InterpreterEvent): void
  onFault(what: string): void
}): EventLines {
  const { source, onEvent, onFault } = options
  let pieces: Buffer[] = []
  let bytes = 0
  let waiting = false
  let broken = false

  function fail(what: string): void {
    broken = true
    pieces = []
    onFault(what)
  }

  function advance(): void {
    const last = pieces.at(-1)
    if (waiting || broken || last === undefined) return
    const newline = last.indexOf(0x0a)
    if (newline === -1) {
      if (bytes > MAX_EVENT_BYTES) fail('an event is too long')
      return
    }
    const line = Buffer.concat([...pieces.slice(0, -1), last.subarray(0, newline)]).toString()
    const rest = last.subarray(newline + 1)
    pieces = rest.length === 0 ? [] : [rest]
    bytes = rest.length
    const event = parse(line)
    if (event === undefined) {
      fail('an event cannot be read')
      return
    }
    waiting = true
    source.pause()
    onEvent(event)
  }

  source.on('data', (chunk: Buffer) => {
    if (broken) return
    pieces.push(chunk)
    bytes += chunk.length
    advance()
  })
  return {
    pass() {
      waiting = false
      advance()
      if (!waiting) source.resume()
    },
  }
}

function parse(line: string): InterpreterEvent | undefined {
  try {
    const event: unknown = JSON.parse(line)
    if (typeof event !== 'object' || event === null || !('type' in event) || typeof event.type !== 'string') return
    return { ...event, type: event.type }
  } catch {
    // The code has found the descriptor and written to it.
    return undefined
  }
}
