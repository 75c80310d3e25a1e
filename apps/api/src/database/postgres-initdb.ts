import type { PostgresAccount } from './postgres-account.ts'
import type { PostgresPrograms } from './postgres-programs.ts'
import { describeSpawnError, spawnProgram } from './postgres-programs.ts'

/** Name of the only superuser; access to the socket's folder decides who may connect. */
export const EMBEDDED_USER = 'atoll'

const DEADLINE_MS = 60_000
const MAX_OUTPUT_CHARS = 4_096

/** Makes a cluster in the empty folder `dataDir`. Its collation is built in, so that it does not change with the host. */
export async function runInitdb(options: {
  programs: PostgresPrograms
  account: PostgresAccount
  dataDir: string
  /** False flushes nothing to disk: for tests. */
  durable: boolean
}): Promise<void> {
  const child = spawnProgram(options.account, options.programs.initdb, [
    ...['--pgdata', options.dataDir, '--username', EMBEDDED_USER, '--auth', 'trust', '--encoding', 'UTF8'],
    ...['--locale', 'C', '--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--no-instructions'],
    ...(options.durable ? [] : ['--no-sync']),
  ])
  let output = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    output = (output + text).slice(-MAX_OUTPUT_CHARS)
  })
  const timer = setTimeout(() => child.kill('SIGKILL'), DEADLINE_MS)
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', (error) => reject(describeSpawnError(error)))
      child.once('close', (code, signal) => {
        if (code === 0) resolve()
        else reject(new Error(`initdb ended (${signal ?? code}): ${output.trim()}`))
      })
    })
  } finally {
    clearTimeout(timer)
  }
}
