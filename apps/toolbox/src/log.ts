/** Writes structured lines to stderr, which is the sandbox's console log; never a secret, never a body. */
export interface Log {
  info(message: string, fields?: Record<string, unknown>): void
  error(message: string, fields?: Record<string, unknown>): void
}

/** Makes a log without pino, which costs more memory than the rest of the toolbox together. */
export function createLog(write: (line: string) => void): Log {
  const line = (level: string, message: string, fields: Record<string, unknown> = {}) =>
    write(`${JSON.stringify({ level, time: new Date().toISOString(), name: 'toolbox', msg: message, ...fields })}\n`)
  return {
    info: (message, fields) => line('info', message, fields),
    error: (message, fields) => line('error', message, fields),
  }
}

/** Returns the text of a caught error for a log line. */
export function describeError(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error)
}
