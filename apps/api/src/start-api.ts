import { mkdir } from 'node:fs/promises'
import type { Logger, ShutdownPhase } from '@atoll/service'
import { shutDown } from '@atoll/service'
import { createApi } from './app.ts'
import type { Config, Secrets } from './config.ts'
import { migrationsDir, postgresDir } from './config.ts'
import type { DatabaseAddress } from './database/database.ts'
import { startEmbeddedPostgres } from './database/embedded-postgres.ts'
import { migrateDatabase } from './database/migrate-database.ts'
import { ensureAdministrator, ensureAdministratorPassword } from './users/first-start.ts'

export interface StartOptions {
  config: Config
  secrets: Secrets
  log: Logger
}

export interface StartedApi {
  url: string
  /** The phases of the shutdown, in the order to run; 6 s at most. */
  phases: ShutdownPhase[]
}

/**
 * Starts PostgreSQL, then migrates it, then makes the administrator and the API. Stops what it started when a step
 * fails.
 */
export async function startApi(options: StartOptions): Promise<StartedApi> {
  const { config, log } = options
  await mkdir(config.dataDir, { recursive: true })
  const phases: ShutdownPhase[] = []
  try {
    const address = await openDatabase(options, phases)
    await migrateDatabase(address, migrationsDir)
    const api = await createApi({ ...options, address })
    phases.unshift(...api.phases)
    await ensureAdministrator({ database: api.database, dataDir: config.dataDir, log })
    await ensureAdministratorPassword({ ...api, password: options.secrets.adminPassword, log })
    return { url: await api.listen(), phases }
  } catch (error) {
    await shutDown(phases, log)
    throw error
  }
}

/** Returns the configured database, or starts an embedded one and adds its stop to `phases`. */
export async function openDatabase(options: StartOptions, phases: ShutdownPhase[]): Promise<DatabaseAddress> {
  const { config, secrets, log } = options
  if (secrets.databaseUrl !== undefined) return { url: secrets.databaseUrl }
  const postgres = await startEmbeddedPostgres({ dir: postgresDir(config), log })
  phases.push({ name: 'postgres', deadlineMs: 3_000, run: () => postgres.stop() })
  return postgres.address
}
