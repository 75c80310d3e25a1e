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
 * The pool or a transaction, with which a store queries. An unprepared statement with parameters takes two round trips,
 * and no other statement can follow until it is back; frequent queries of few forms therefore end in
 * `.prepare(name).execute()`.
 */
export type Queryable = PgDatabase<PostgresJsQueryResultHKT, Record<string, never>>

/** The pool. `sql` is the same pool for statements that drizzle cannot express; it returns times as text. */
export interface Database {
  readonly db: Queryable
  readonly sql: Sql
  /** The address, for connections outside the pool such as the listener's. */
  readonly address: DatabaseAddress
  /** Runs `work` in one transaction: commits when it resolves, rolls back when it throws. */
  transaction<Result>(work: (tx: Queryable) => Promise<Result>): Promise<Result>
  /** Returns whether a query succeeds within `deadlineMs`. */
  isReachable(deadlineMs: number): Promise<boolean>
  /** Lets running queries finish for at most `CLOSE_TIMEOUT_S`, then cuts them off. */
  close(): Promise<void>
}

/** Part of the name of an embedded server's socket. */
export const SOCKET_PORT = 5432

const POOL_SIZE = 10
const CONNECT_TIMEOUT_S = 5
/** Seconds between two tries to connect: the driver's own would leave a connection idle for up to 20 s after an outage. */
const [MIN_BACKOFF_S, MAX_BACKOFF_S] = [0.05, 1]
const CLOSE_TIMEOUT_S = 1
/** A statement that runs longer is a fault; waiting for locks counts. */
const STATEMENT_TIMEOUT_MS = 30_000
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000

export interface DatabaseOptions {
  address: DatabaseAddress
  /** The most connections. */
  poolSize?: number
}

/** Creates the pool; connections are made when first needed. The caller closes it. */
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

/** Creates a postgres.js client for `address` with the limits that every connection has. The caller ends it. */
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
  // Without a port the driver would take it from the environment of this process.
  const { socketDir, user, database } = address
  return postgres({ ...options, host: socketDir, port: SOCKET_PORT, user, database })
}

/**
 * Passes `host` from the query of the URL as an option: the socket's folder is usually written there, but the driver
 * ignores it.
 */
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
    // To the caller, every failed query means that the database is unreachable.
    return false
  }
}
