/** The cause of a failed query, where a caller can act on it. */
export type DatabaseFault = 'unreachable' | 'no room' | 'unstorable text'

/** Codes of postgres.js and Node, then PostgreSQL's codes for a server that stops or starts or has no connection left. */
const UNREACHABLE = new Set([
  ...['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'CONNECTION_ENDED', 'CONNECT_TIMEOUT'],
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P02', '57P03', '53300'],
])

/** The database's disk is full or cannot be written. */
const NO_ROOM = new Set(['53100', '58030'])

/** A zero character in text, or in a string of a JSON document. */
const UNSTORABLE = new Set(['22021', '22P05'])

const MAX_CAUSES = 5

/** Looks for a fault of the database in an error and its causes. */
export function databaseFault(error: unknown): DatabaseFault | undefined {
  let current = error
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    const code = 'code' in current ? String(current.code) : ''
    // A missing socket is ENOENT, like a missing file.
    const noSocket = code === 'ENOENT' && 'syscall' in current && current.syscall === 'connect'
    if (UNREACHABLE.has(code) || noSocket) return 'unreachable'
    if (NO_ROOM.has(code)) return 'no room'
    if (UNSTORABLE.has(code)) return 'unstorable text'
    current = current.cause
  }
  return undefined
}

const UNIQUE_VIOLATION = '23505'

/** Whether a query failed because a value that must be unique exists already. */
export function isUniqueViolation(error: unknown): boolean {
  return failedWith(error, (code) => code === UNIQUE_VIOLATION)
}

/** PostgreSQL's codes for a value that it cannot store (class 22), and for one that a constraint forbids (class 23). */
const REFUSED_VALUE = /^2[23]\w{3}$/

/** Whether a query failed for the values in it, so that it fails whenever it is tried again. */
export function isRefusedValue(error: unknown): boolean {
  return failedWith(error, (code) => REFUSED_VALUE.test(code))
}

/** Whether the code of a query's error, or of its cause, is such a one. */
function failedWith(error: unknown, isSuch: (code: string) => boolean): boolean {
  const cause = error instanceof Error ? error.cause : undefined
  return [error, cause].some((fault) => fault instanceof Error && 'code' in fault && isSuch(String(fault.code)))
}
