import { setTimeout as delay } from 'node:timers/promises'
import type { Logger } from '@atoll/service'
import type { DatabaseAddress } from './database.ts'
import { connect } from './database.ts'
import type { PostgresFolder } from './postgres-folder.ts'
import { openPostgresFolder } from './postgres-folder.ts'
import { EMBEDDED_USER } from './postgres-initdb.ts'
import { findPostmaster, removeMisleadingPidFile, stopOrphan } from './postgres-orphan.ts'
import { findPostgresPrograms } from './postgres-programs.ts'
import type { PostgresServer } from './postgres-server.ts'
import { DataFolderBusyError, startPostgresServer } from './postgres-server.ts'

/** A PostgreSQL server of this process, which ends with it. */
export interface EmbeddedPostgres {
  readonly address: DatabaseAddress
  /** The process id of the server, which changes when the server is started again. */
  readonly pid: number
  stop(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  /** The folder for everything the server keeps; made when missing. */
  dir: string
  log: Logger
  /** Default true. False flushes nothing to disk: for tests. */
  durable?: boolean
  /** Further settings, as in postgresql.conf. */
  settings?: Readonly<Record<string, string>>
}

const DATABASE_NAME = 'atoll'

/** Small settings: at rest the server and its helpers hold about 20 MB of their own. */
const SETTINGS = {
  shared_buffers: '32MB',
  work_mem: '4MB',
  maintenance_work_mem: '32MB',
  max_connections: '60',
  max_worker_processes: '2',
  max_parallel_workers_per_gather: '0',
  autovacuum_worker_slots: '2',
  autovacuum_max_workers: '1',
  io_method: 'sync',
  huge_pages: 'off',
  jit: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '256MB',
  fsync: 'on',
  timezone: 'UTC',
  log_timezone: 'UTC',
  // Only the server's own messages are logged: values and statements may hold secrets.
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_checkpoints: 'off',
}

const NOT_DURABLE = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }

/** A killed server leaves processes that hold its memory for a moment. */
const BUSY_RETRIES = 50
const BUSY_RETRY_MS = 100
const RESTART_DELAY_MS = 200

/**
 * Starts PostgreSQL on `dir` and makes its cluster on the first start. A server left there by a killed owner is stopped
 * first. A server that ends unasked is started again. Throws one line that names the folder when a living owner has it.
 *
 * The programs of the npm package run directly. Its own class would start them with our whole environment, leave the
 * server behind when we are killed, refuse to run as root below a closed folder, and stop servers from a hook at our
 * exit instead of in their place in the shutdown.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { log, dir } = options
  const durable = options.durable ?? true
  const settings = { ...SETTINGS, ...(durable ? {} : NOT_DURABLE), ...options.settings }
  const programs = await findPostgresPrograms()
  const folder = await openPostgresFolder({ dir, programs, durable })
  const start = () => startOnFolder({ folder, dir, program: programs.postgres, settings, log })
  let server: PostgresServer
  try {
    server = await start()
  } catch (error) {
    await folder.close()
    throw error
  }
  const stopping = new AbortController()
  const supervising = supervise()

  async function supervise(): Promise<void> {
    while (!stopping.signal.aborted) {
      await server.exited
      if (stopping.signal.aborted) return
      log.error({ pid: server.pid }, 'PostgreSQL ended; starting it again')
      // Aborting only ends the wait early.
      await delay(RESTART_DELAY_MS, undefined, { signal: stopping.signal }).catch(() => undefined)
      if (stopping.signal.aborted) return
      try {
        server = await start()
        if (stopping.signal.aborted) await server.stop()
      } catch (error) {
        log.error({ err: error }, 'PostgreSQL cannot be started again')
      }
    }
  }

  const address = { socketDir: folder.socketDir, user: EMBEDDED_USER, database: DATABASE_NAME }
  const embedded = {
    address,
    get pid() {
      return server.pid
    },
    async stop() {
      stopping.abort()
      await server.stop()
      await supervising
      await folder.close()
    },
  }
  try {
    await folder.removeLeftovers()
    await ensureDatabase(folder.socketDir)
  } catch (error) {
    await embedded.stop()
    throw error
  }
  return embedded
}

interface StartOnFolder {
  folder: PostgresFolder
  /** The path as it was configured, for messages. */
  dir: string
  program: string
  settings: Readonly<Record<string, string>>
  log: Logger
}

async function startOnFolder(options: StartOnFolder): Promise<PostgresServer> {
  const { folder, dir, log } = options
  for (let attempt = 1; ; attempt++) {
    const running = await findPostmaster(folder.dataDir)
    if (running?.ownerPid !== undefined) {
      throw new Error(`data folder ${dir} is in use by another Atoll (process ${running.ownerPid})`)
    }
    if (running) {
      log.warn({ pid: running.identity.pid }, 'stopping a PostgreSQL whose owner is gone')
      await stopOrphan(running, folder.dataDir)
    }
    await removeMisleadingPidFile(folder.dataDir)
    await folder.removeSocketLocks()
    try {
      return await startPostgresServer({ ...options, ...folder })
    } catch (error) {
      if (!(error instanceof DataFolderBusyError)) throw error
      if (attempt === BUSY_RETRIES) throw new Error(`data folder ${dir} is in use: ${error.message}`, { cause: error })
      await delay(BUSY_RETRY_MS)
    }
  }
}

async function ensureDatabase(socketDir: string): Promise<void> {
  const sql = connect({ socketDir, user: EMBEDDED_USER, database: 'postgres' }, { max: 1 })
  try {
    const found = await sql`select 1 from pg_database where datname = ${DATABASE_NAME}`
    if (found.length === 0) await sql`create database ${sql(DATABASE_NAME)}`
  } finally {
    await sql.end({ timeout: 0 })
  }
}
