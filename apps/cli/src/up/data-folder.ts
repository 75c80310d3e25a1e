import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readTextIfPresent, writeWhole } from '@atoll/service'
import { StartError } from './start-error.ts'

const RUNNER_TOKEN_BYTES = 32

/**
 * Makes the data folder when it is missing and sees that nobody else may enter it. Throws StartError, naming the
 * folder, when it cannot be made or stands open to others with something in it.
 */
export function prepareDataFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { mode, uid } = statSync(folder)
    if (uid !== process.getuid?.()) throw new StartError(`data folder ${folder} belongs to another user`)
    if ((mode & 0o077) === 0) return
    // A folder in use may be someone's home or /tmp, named by mistake: it is not ours to close.
    if (readdirSync(folder).length > 0) {
      throw new StartError(`data folder ${folder} is open to other users: chmod 700 it, or name another`)
    }
    chmodSync(folder, 0o700)
  } catch (error) {
    if (error instanceof StartError) throw error
    const reason = error instanceof Error ? error.message : String(error)
    throw new StartError(`data folder ${folder} cannot be used: ${reason}`, { cause: error })
  }
}

/** The local runner's token, made once and kept where only the owner reads it. */
export function readOrMakeRunnerToken(folder: string): string {
  const path = join(folder, 'runner-token')
  const kept = readTextIfPresent(path)?.trim()
  if (kept) return kept
  const token = `atr_${randomBytes(RUNNER_TOKEN_BYTES).toString('hex')}`
  writeWhole(path, `${token}\n`)
  return token
}
