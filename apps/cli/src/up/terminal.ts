import type { Writable } from 'node:stream'

/** The output of `atoll up` for the person who ran it. */
export interface Terminal {
  /** Prints news, such as the system's URL, or that it stops. */
  say(text: string): void
  /** Prints a warning or failure of the supervisor itself. */
  warn(text: string): void
  /** Prints a program's log line in readable form if it is important enough. */
  showLogLine(program: string, line: string): void
}

const LEVELS: Readonly<Record<number, string>> = {
  10: 'trace',
  20: 'debug',
  30: 'info',
  40: 'warn',
  50: 'error',
  60: 'fatal',
}
const WARN = 40

/** Makes a terminal. With a `logLevel` of `debug` or `trace` it shows all log lines, else only warnings and errors. */
export function createTerminal(out: Writable, err: Writable, logLevel: string): Terminal {
  const shownFrom = logLevel === 'debug' || logLevel === 'trace' ? 0 : WARN
  // The system goes on if the reader of its output is gone (`npm start | head`).
  for (const stream of [out, err]) stream.on('error', () => undefined)
  return {
    say: (text) => void out.write(`${text}\n`),
    warn: (text) => void err.write(`${clock(Date.now())} atoll ${text}\n`),
    showLogLine(program, line) {
      const entry = parseEntry(line)
      if (!entry) {
        if (line.trim() !== '') err.write(`${clock(Date.now())} ${program} ${line}\n`)
      } else if (entry.level >= shownFrom) {
        err.write(`${clock(entry.time)} ${program} ${LEVELS[entry.level] ?? entry.level}: ${entry.text}\n`)
      }
    },
  }
}

interface LogEntry {
  level: number
  time: number
  text: string
}

/** Parses a line of our loggers; returns undefined for any other line, such as the stack of a crash. */
function parseEntry(line: string): LogEntry | undefined {
  if (!line.startsWith('{')) return undefined
  try {
    const { level, time, msg, err } = JSON.parse(line) as Record<string, unknown>
    if (typeof level !== 'number' || typeof time !== 'number') return undefined
    const message = typeof msg === 'string' ? msg : ''
    const reason = typeof err === 'object' && err !== null ? Reflect.get(err, 'message') : undefined
    const hasNews = typeof reason === 'string' && reason !== message
    return { level, time, text: hasNews ? `${message}: ${reason}` : message }
  } catch {
    // The line looks like JSON but is not: it is shown unchanged.
    return undefined
  }
}

function clock(timeMs: number): string {
  return new Date(timeMs).toTimeString().slice(0, 8)
}
