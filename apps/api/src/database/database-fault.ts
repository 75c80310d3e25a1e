/** What a failed query tells its caller, beyond that it failed. */
export type DatabaseFault = 'unreachable' | 'unstorable text'

/** postgres.js's and Node's own codes, then PostgreSQL's for a server that stops or starts. */
const UNREACHABLE = new Set([
  ...['CONNECTION_CLOSED', 'CONNECTION_DESTROYED', 'CONNECTION_ENDED', 'CONNECT_TIMEOUT'],
  ...['ECONNREFUSED', 'ECONNRESET', 'EPIPE', '57P01', '57P02', '57P03', '53300'],
])

/** A zero character in text, or in a string of a JSON document. */
const UNSTORABLE = new Set(['22021', '22P05'])

const MAX_CAUSES = 5

/** Looks for a fault of the database in an error and its causes. */
export function databaseFault(error: unknown): DatabaseFault | undefined {
  let current = error
  for (let depth = 0; depth < MAX_CAUSES && current instanceof Error; depth++) {
    const code = 'code' in current ? String(current.code) : ''
    // A socket that is not there is ENOENT, which a file that is not there is as well.
    const noSocket = code === 'ENOENT' && 'syscall' in current && current.syscall === 'connect'
    if (UNREACHABLE.has(code) || noSocket) return 'unreachable'
    if (UNSTORABLE.has(code)) return 'unstorable text'
    current = current.cause
  }
  return undefined
}
