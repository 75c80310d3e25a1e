import type { Writable } from 'node:stream'

/** What the person who ran `atoll up` sees. */
export interface Terminal {
  /** News: where the system is, that it stops. */
  say(text: string): void
  /** A warning or failure of the supervisor's own. */
  warn(text: string): void
  /** A program's log line, shown in readable form when it is important enough. */
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

/** `logLevel` as in ATOLL_LOG_LEVEL: `debug` and `trace` show all of the programs' lines, else warnings and up. */
export function createTerminal(out: Writable, err: Writable, logLevel: string): Terminal {
  const shownFrom = logLevel === 'debug' || logLevel === 'trace' ? 0 : WARN
  // A reader that went away (`npm start | head`) is no reason to end.
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

/** Undefined for what is not a line of our loggers: a crash prints its stack as it is. */
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
    // Looks like JSON, is none: shown as it is.
    return undefined
  }
}

function clock(timeMs: number): string {
  return new Date(timeMs).toTimeString().slice(0, 8)
}
