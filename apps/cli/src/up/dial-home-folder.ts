import { createHash } from 'node:crypto'
import { chmodSync, lstatSync, mkdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DIAL_HOME_SOCKET_NAME } from '@atoll/protocol'
import { StartError } from './start-error.ts'

/** The longest path of a unix socket, without its closing zero byte. */
const SOCKET_PATH_MAX_BYTES = 107

export interface DialHomeFolder {
  readonly path: string
  /** Removes the folder if it lies outside the data folder. */
  remove(): void
}

/**
 * Makes the folder for the socket that sandboxes dial: in the data folder, or, if that path is too long for a socket, in
 * the temp folder under a short name derived from the data folder. Throws StartError if another user owns that name.
 */
export function makeDialHomeFolder(dataDir: string, tempDir: string = tmpdir()): DialHomeFolder {
  const inside = join(dataDir, 'dial-home')
  if (Buffer.byteLength(join(inside, DIAL_HOME_SOCKET_NAME)) <= SOCKET_PATH_MAX_BYTES) {
    makeOwned(inside)
    return { path: inside, remove: () => undefined }
  }
  const path = join(tempDir, `atoll-${createHash('sha256').update(dataDir).digest('hex').slice(0, 16)}`)
  makeOwned(path)
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) }
}

function makeOwned(path: string): void {
  mkdirSync(path, { recursive: true })
  // lstat instead of stat: in a temp folder any user can place a link under this name.
  const found = lstatSync(path)
  if (!found.isDirectory() || found.uid !== process.getuid?.()) {
    throw new StartError(`${path} is needed for the sandboxes' socket, but is not a folder of ours: remove it`)
  }
  chmodSync(path, 0o755)
}
