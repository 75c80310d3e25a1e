import type { ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import type { Logger } from '@atoll/service'
import { SOCKET_PORT } from './database.ts'
import { endsWithin } from './ends-within.ts'
import type { PostgresAccount } from './postgres-account.ts'
import { OWNER_SETTING } from './postgres-orphan.ts'
import { describeSpawnError, spawnProgram } from './postgres-programs.ts'

/** A started server that accepts connections. */
export interface PostgresServer {
  readonly pid: number
  /** Resolves when the process has ended, for any reason. */
  readonly exited: Promise<void>
  /** Tries a fast shutdown, then an immediate one, then SIGKILL. */
  stop(): Promise<void>
}

export interface ServerOptions {
  account: PostgresAccount
  /** Path of the program. */
  program: string
  /** An absolute path without symbolic links. */
  dataDir: string
  socketDir: string
  /** Values by name, as in postgresql.conf. */
  settings: Readonly<Record<string, string>>
  log: Logger
}

/** Thrown when another server holds the data folder. */
export class DataFolderBusyError extends Error {
  override readonly name = 'DataFolderBusyError'
}

/** Long enough to replay the write-ahead log after a crash. */
const READY_DEADLINE_MS = 120_000
const FAST_STOP_DEADLINE_MS = 2_000
const IMMEDIATE_STOP_DEADLINE_MS = 1_000
const READY_TEXT = 'database system is ready to accept connections'
const BUSY_TEXT = /lock file ".*" already exists|pre-existing shared memory block/

/**
 * Starts the server and waits until it accepts connections. Throws DataFolderBusyError, or an error with the server's
 * last message.
 */
export async function startPostgresServer(options: ServerOptions): Promise<PostgresServer> {
  const settings: Record<string, string> = {
    ...options.settings,
    listen_addresses: '',
    port: String(SOCKET_PORT),
    unix_socket_directories: options.socketDir,
    [OWNER_SETTING]: String(process.pid),
  }
  const args = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  const child = spawnProgram(options.account, options.program, ['-D', options.dataDir, ...args])
  const exited = new Promise<void>((resolve) => {
    child.once('exit', () => resolve())
    child.once('error', () => resolve())
  })
  await untilReady(child, options.log)
  return { pid: child.pid ?? 0, exited, stop: () => stopServer(child, exited) }
}

/** Resolves when the server accepts connections. Its log is read while it runs, because a full pipe would stop it. */
async function untilReady(child: ChildProcess, log: Logger): Promise<void> {
  let last = 'it said nothing'
  const outcome = new Promise<void>((resolve, reject) => {
    readLog(child, (severity, message) => {
      const fatal = severity === undefined || severity === 'FATAL' || severity === 'PANIC'
      if (fatal) last = message
      log[fatal ? 'warn' : 'debug']({ postgres: message }, 'PostgreSQL')
      if (message === READY_TEXT) resolve()
    })
    child.once('error', (error) => reject(describeSpawnError(error)))
    child.once('close', (code, signal) => {
      const error = new Error(`PostgreSQL ended (${signal ?? code}): ${last}`)
      reject(BUSY_TEXT.test(last) ? new DataFolderBusyError(last) : error)
    })
  })
  if (await endsWithin(outcome, READY_DEADLINE_MS)) return
  child.kill('SIGQUIT')
  throw new Error(`PostgreSQL was not ready within ${READY_DEADLINE_MS / 1000} s: ${last}`)
}

function readLog(child: ChildProcess, onLine: (severity: string | undefined, message: string) => void): void {
  if (!child.stderr) return
  createInterface({ input: child.stderr }).on('line', (line) => {
    const match = /(?:^|\s)(LOG|WARNING|ERROR|FATAL|PANIC):\s+(.*)$/.exec(line)
    onLine(match?.[1], match?.[2] ?? line)
  })
}

async function stopServer(child: ChildProcess, exited: Promise<void>): Promise<void> {
  child.kill('SIGINT')
  if (await endsWithin(exited, FAST_STOP_DEADLINE_MS)) return
  child.kill('SIGQUIT')
  if (await endsWithin(exited, IMMEDIATE_STOP_DEADLINE_MS)) return
  child.kill('SIGKILL')
  await exited
}
