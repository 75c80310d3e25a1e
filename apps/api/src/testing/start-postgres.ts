import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createLogger } from '@atoll/service'
import type { TestProject } from 'vitest/node'
import { connect } from '../database/database.ts'
import { startEmbeddedPostgres } from '../database/embedded-postgres.ts'
import { migrateDatabase } from '../database/migrate-database.ts'

/** Folder of the migrations, for tests. */
const MIGRATIONS_DIR = fileURLToPath(new URL('../../migrations', import.meta.url))

/** The migrated database from which the database of each test is cloned. */
export const TEMPLATE_DATABASE = 'atoll'

declare module 'vitest' {
  interface ProvidedContext {
    /** Folder of the test server's socket. */
    postgresSocketDir: string
    postgresUser: string
  }
}

/** Starts one PostgreSQL for the whole run. It ends with the run's process, even when that is killed. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), 'atoll-api-test-'))
  const postgres = await startEmbeddedPostgres({
    dir,
    log: createLogger('test-postgres', 'error'),
    durable: false,
    settings: { max_connections: '200' },
  })
  const { address } = postgres
  if (!('socketDir' in address)) throw new Error('the embedded PostgreSQL has no socket')
  await migrateDatabase(address, MIGRATIONS_DIR)
  const sql = connect({ ...address, database: 'postgres' }, { max: 1 })
  await sql`alter database ${sql(TEMPLATE_DATABASE)} with is_template true allow_connections false`
  await sql.end()
  project.provide('postgresSocketDir', address.socketDir)
  project.provide('postgresUser', address.user)
  return async () => {
    await postgres.stop()
    await rm(dir, { recursive: true, force: true })
  }
}
