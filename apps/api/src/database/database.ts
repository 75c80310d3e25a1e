import type { PgDatabase } from 'drizzle-orm/pg-core'
import type { PostgresJsQueryResultHKT } from 'drizzle-orm/postgres-js'
import { drizzle } from 'drizzle-orm/postgres-js'
import type { Sql } from 'postgres'
import postgres from 'postgres'
import { endsWithin } from './ends-within.ts'

/** Where PostgreSQL is: a connection URL, or the folder of its unix socket. */
export type DatabaseAddress =
  | { readonly url: string }
  | { readonly socketDir: string; readonly user: string; readonly database: string }

/**
 * What a store queries with: the pool or a transaction. A statement with parameters that is not prepared takes two ways to the
 * database, and none can follow it until it is back; what is asked often and in few forms ends in `.prepare(name).execute()`.
 */
export type Queryable = PgDatabase<PostgresJsQueryResultHKT, Record<string, never>>

/** The pool. `sql` is the same pool for statements drizzle has no words for; it returns times as text. */
export interface Database {
  readonly db: Queryable
  readonly sql: Sql
  /** For connections of their own, such as the listener's. */
  readonly address: DatabaseAddress
  /** Runs `work` in one transaction: commits when it resolves, rolls back when it throws. */
  transaction<Result>(work: (tx: Queryable) => Promise<Result>): Promise<Result>
  /** Answers whether a query succeeds within `deadlineMs`. */
  isReachable(deadlineMs: number): Promise<boolean>
  /** Lets running queries finish for at most `CLOSE_TIMEOUT_S`, then cuts them off. */
  close(): Promise<void>
}

/** Part of the name of an embedded server's socket. */
export const SOCKET_PORT = 5432

const POOL_SIZE = 10
const CONNECT_TIMEOUT_S = 5
/** Between two tries to connect: the driver's own would leave a connection idle for up to 20 s after an outage. */
const [MIN_BACKOFF_S, MAX_BACKOFF_S] = [0.05, 1]
const CLOSE_TIMEOUT_S = 1
/** A statement that runs longer is a fault; waiting on locks counts. */
const STATEMENT_TIMEOUT_MS = 30_000
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000

export interface DatabaseOptions {
  address: DatabaseAddress
  /** Connections at most. */
  poolSize?: number
}

/** Opens the pool; connections are made when first needed. The caller closes it. */
export function createDatabase(options: DatabaseOptions): Database {
  const { address } = options
  const sql = connect(address, { max: options.poolSize ?? POOL_SIZE })
  const db = drizzle(sql)
  return {
    db,
    sql,
    address,
    transaction: (work) => db.transaction(work),
    isReachable: (deadlineMs) => isReachable(sql, deadlineMs),
    close: () => sql.end({ timeout: CLOSE_TIMEOUT_S }),
  }
}

/** A postgres.js client for `address` with the bounds every connection of ours has. The caller ends it. */
export function connect(address: DatabaseAddress, extra: postgres.Options<Record<string, never>> = {}): Sql {
  const options = {
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: (tries: number) => Math.min(MIN_BACKOFF_S * 2 ** tries, MAX_BACKOFF_S) * (0.5 + Math.random() / 2),
    onnotice: () => undefined,
    ...extra,
    connection: {
      application_name: 'atoll-api',
      statement_timeout: STATEMENT_TIMEOUT_MS,
      idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
      ...extra.connection,
    },
  }
  if ('url' in address) return connectToUrl(address.url, options)
  // Without a port the driver would take it from our environment.
  const { socketDir, user, database } = address
  return postgres({ ...options, host: socketDir, port: SOCKET_PORT, user, database })
}

/** The driver takes no `host` from a query, which is how the folder of a socket is usually written. */
function connectToUrl(text: string, options: postgres.Options<Record<string, never>>): Sql {
  if (!/[?&]host=/.test(text)) return postgres(text, options)
  const url = new URL(text)
  const host = url.searchParams.get('host') ?? ''
  url.searchParams.delete('host')
  return postgres(url.href, { ...options, host })
}

async function isReachable(sql: Sql, deadlineMs: number): Promise<boolean> {
  try {
    return await endsWithin(sql`select 1`, deadlineMs)
  } catch {
    // Every failure to answer means the same to the caller.
    return false
  }
}
