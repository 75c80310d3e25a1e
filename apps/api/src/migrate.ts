import type { ShutdownPhase } from '@atoll/service'
import { shutDown } from '@atoll/service'
import { migrationsDir, readConfig } from './config.ts'
import { migrateDatabase } from './database/migrate-database.ts'
import { createApiLogger } from './error-log.ts'
import { openDatabase } from './start-api.ts'

/** Migrates the database and ends: for deployments that migrate before their replicas start. */
const log = createApiLogger('migrate')
const phases: ShutdownPhase[] = []
try {
  const { config, secrets } = readConfig()
  log.level = config.logLevel
  await migrateDatabase(await openDatabase({ config, secrets, log }, phases), migrationsDir)
  log.info('the database is up to date')
} catch (error) {
  log.fatal({ err: error }, 'cannot migrate')
  process.exitCode = 1
} finally {
  await shutDown(phases, log)
}
