import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { commandEnvironment } from './run-command.ts'

const LOCK_FILE = 'lock'
/** Exit code of flock for a lock that another process has. */
const TAKEN = 75
/** How long the lock of a killed runner may remain, until the process that holds it has ended, in seconds. */
const LET_GO_S = 2

/**
 * Takes a data folder for this process until the lock is disposed or the process ends, however it ends: the
 * kernel's lock is held by a program that lives as long as the pipe from here. Throws an Error, in one line that names
 * the folder, when another process has it.
 */
export async function lockDataFolder(folder: string): Promise<AsyncDisposable> {
  const waiting = ['--timeout', String(LET_GO_S), '--conflict-exit-code', String(TAKEN)]
  const flock = ['--exclusive', ...waiting, join(folder, LOCK_FILE), 'cat']
  const holder = spawn('flock', flock, { stdio: ['pipe', 'pipe', 'ignore'], env: commandEnvironment(), detached: true })
  const ended = new Promise<number>((resolve, reject) => {
    holder.once('error', reject)
    holder.once('close', (code) => resolve(code ?? -1))
  })
  holder.stdin.on('error', () => {
    // flock ended before it read; its exit code says why.
  })
  // `cat` starts after the lock is taken, so its first output means that this process has the lock.
  holder.stdin.write('locked\n')
  const code = await Promise.race([once(holder.stdout, 'data').then(() => undefined), ended])
  if (code === TAKEN) throw new Error(`data folder ${folder} is in use by another runner`)
  if (code !== undefined) throw new Error(`data folder ${folder} cannot be locked: flock exited ${code}`)
  return {
    [Symbol.asyncDispose]: async () => {
      holder.stdin.end()
      await ended
    },
  }
}
