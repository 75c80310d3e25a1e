import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { readTextIfPresent, writeWhole } from '@atoll/service'
import { StartError } from './start-error.ts'

const RUNNER_TOKEN_BYTES = 32

/**
 * Makes the data folder if it is missing and closes it to other users. Throws StartError, naming the folder, if it
 * cannot be made, or if it is open to other users and not empty.
 */
export function prepareDataFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { mode, uid } = statSync(folder)
    if (uid !== process.getuid?.()) throw new StartError(`data folder ${folder} belongs to another user`)
    if ((mode & 0o077) === 0) return
    // A folder with files may be a home folder or /tmp, named by mistake: it must not be closed to others.
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

/** Returns the local runner's token, which is made once and kept in a file that only the owner can read. */
export function readOrMakeRunnerToken(folder: string): string {
  const path = join(folder, 'runner-token')
  const kept = readTextIfPresent(path)?.trim()
  if (kept) return kept
  const token = `atr_${randomBytes(RUNNER_TOKEN_BYTES).toString('hex')}`
  writeWhole(path, `${token}\n`)
  return token
}
