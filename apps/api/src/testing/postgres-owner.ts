import { createLogger, tellSupervisor } from '@atoll/service'
import { startEmbeddedPostgres } from '../database/embedded-postgres.ts'
import { SURVIVES_KILL } from './survives-kill.ts'

/** A program that owns an embedded PostgreSQL in the folder argv[2], for tests that kill it. */
const log = createLogger('postgres-owner', 'debug')
try {
  const postgres = await startEmbeddedPostgres({
    dir: process.argv[2] ?? '',
    log,
    durable: false,
    settings: SURVIVES_KILL,
  })
  process.send?.({ pid: postgres.pid, address: postgres.address })
  process.once('SIGTERM', () => {
    postgres.stop().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  })
} catch (error) {
  await tellSupervisor({ type: 'failed', message: error instanceof Error ? error.message : String(error) })
  process.exit(1)
}
