import { drizzle } from 'drizzle-orm/postgres-js'
import { migrate } from 'drizzle-orm/postgres-js/migrator'
import { advisoryLocks } from './advisory-locks.ts'
import type { DatabaseAddress } from './database.ts'
import { connect } from './database.ts'

/** Includes the wait for another replica that migrates. */
const STATEMENT_TIMEOUT_MS = 600_000

/**
 * Applies the migrations of `folder` that the database lacks. Several replicas may call it at once: one migrates, the
 * others wait and then find nothing to do.
 */
export async function migrateDatabase(address: DatabaseAddress, folder: string): Promise<void> {
  const sql = connect(address, { max: 1, connection: { statement_timeout: STATEMENT_TIMEOUT_MS } })
  try {
    await sql`select pg_advisory_lock(${advisoryLocks.migration})`
    await migrate(drizzle(sql), { migrationsFolder: folder })
  } finally {
    // The lock ends with its connection.
    await sql.end({ timeout: 0 })
  }
}
