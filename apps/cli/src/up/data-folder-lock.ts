import type { FolderLock } from '@atoll/service'
import { FolderInUseError, lockFolder } from '@atoll/service'
import { StartError } from './start-error.ts'

export const LOCK_FILE_NAME = 'up.lock'

/** Locks the data folder for this process. Throws StartError, naming the folder, while another holder lives. */
export function lockDataFolder(folder: string): FolderLock {
  try {
    return lockFolder(folder, LOCK_FILE_NAME)
  } catch (error) {
    if (error instanceof FolderInUseError) throw new StartError(error.message, { cause: error })
    throw error
  }
}
