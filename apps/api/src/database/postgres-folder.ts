import { createHash } from 'node:crypto'
import { chmod, chown, lstat, mkdir, mkdtemp, readdir, realpath, rename, rm, rmdir, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { FolderLock } from '@atoll/service'
import { lockFolder } from '@atoll/service'
import { SOCKET_PORT } from './database.ts'
import type { PostgresAccount } from './postgres-account.ts'
import { choosePostgresAccount } from './postgres-account.ts'
import { runInitdb } from './postgres-initdb.ts'
import type { PostgresPrograms } from './postgres-programs.ts'

/** The files of one embedded PostgreSQL, locked for its server until they are closed. */
export interface PostgresFolder {
  readonly account: PostgresAccount
  /** The cluster itself, owned by the account. */
  readonly dataDir: string
  /** Made anew for each start, since a socket left behind cannot be told from a live one. */
  readonly socketDir: string
  /** Removes the socket of a server that this process started and that was killed. */
  removeSocketLocks(): Promise<void>
  /** Removes the folders of earlier starts. Call it when the server runs: no server of an earlier owner runs then. */
  removeLeftovers(): Promise<void>
  /** Removes the socket and unlocks the folder. */
  close(): Promise<void>
}

/** The kernel takes 108 bytes for the path of a unix socket, with the zero that ends it. */
const MAX_SOCKET_PATH_BYTES = 107
const SOCKET_FILE = `.s.PGSQL.${SOCKET_PORT}`
const LOCK_FILE = 'owner.lock'
/** Folders that each start makes for itself. */
const LEFTOVER = /^(initdb|socket)-/
/** Node waits 100 ms longer before each retry. */
const REMOVE_RETRIES = 5
/** mkdtemp adds six characters to the name. */
const SOCKET_NAME = `/socket-123456/${SOCKET_FILE}`

/**
 * Locks `dir` and lays it out: `data` holds the cluster, `socket-*` the socket. The cluster is made in a folder beside
 * it that is then renamed, so an existing `data` is always complete. Throws FolderInUseError when a living owner has
 * `dir`.
 */
export async function openPostgresFolder(options: {
  dir: string
  programs: PostgresPrograms
  durable: boolean
}): Promise<PostgresFolder> {
  await mkdir(options.dir, { recursive: true, mode: 0o700 })
  const dir = await realpath(options.dir)
  const dataDir = join(dir, 'data')
  const account = await choosePostgresAccount(await ownerOf(dataDir))
  await protect(dir, account)
  const lock = lockFolder(options.dir, LOCK_FILE)
  try {
    if ((await ownerOf(dataDir)) === undefined) await createCluster({ ...options, dir, dataDir, account })
    return await addSocket({ dir, dataDir, account, lock })
  } catch (error) {
    lock.release()
    throw error
  }
}

async function addSocket(options: {
  dir: string
  dataDir: string
  account: PostgresAccount
  lock: FolderLock
}): Promise<PostgresFolder> {
  const { dir, dataDir, account, lock } = options
  const socketParent = await findSocketParent(dir, account)
  const socketDir = await makeFolder(join(socketParent, 'socket-'), account)
  return {
    account,
    dataDir,
    socketDir,
    async removeSocketLocks() {
      await rm(join(socketDir, SOCKET_FILE), { force: true })
      await rm(join(socketDir, `${SOCKET_FILE}.lock`), { force: true })
    },
    async close() {
      await rm(socketDir, { recursive: true, force: true })
      if (socketParent !== dir) await removeWhenEmpty(socketParent)
      lock.release()
    },
    async removeLeftovers() {
      await removeOthers(dir, socketDir)
      if (socketParent !== dir) await removeOthers(socketParent, socketDir)
    },
  }
}

async function createCluster(options: {
  dir: string
  dataDir: string
  programs: PostgresPrograms
  account: PostgresAccount
  durable: boolean
}): Promise<void> {
  const fresh = await makeFolder(join(options.dir, 'initdb-'), options.account)
  try {
    await runInitdb({ ...options, dataDir: fresh })
    await rename(fresh, options.dataDir)
  } catch (error) {
    await rm(fresh, { recursive: true, force: true })
    throw error
  }
}

/** Closes the folder around data and socket to other users, so that another user of the account reaches neither. */
async function protect(dir: string, account: PostgresAccount): Promise<void> {
  try {
    await chmod(dir, account.readsEverywhere ? 0o700 : 0o711)
  } catch (cause) {
    if (!hasCode(cause, 'EPERM')) throw cause
    throw new Error(`${dir} belongs to another user`, { cause })
  }
}

async function makeFolder(prefix: string, account: PostgresAccount): Promise<string> {
  const path = await mkdtemp(prefix)
  if (account.owner) await chown(path, account.owner.uid, account.owner.gid)
  return path
}

/** Returns `dir`, or where its path is too long for a socket, a folder in the temp folder that belongs to `dir`. */
async function findSocketParent(dir: string, account: PostgresAccount): Promise<string> {
  const name = `atoll-${createHash('sha256').update(dir).digest('hex').slice(0, 16)}`
  const candidates = [dir, join(tmpdir(), name), join('/tmp', name)]
  const parent = candidates.find((path) => Buffer.byteLength(path + SOCKET_NAME) <= MAX_SOCKET_PATH_BYTES) ?? dir
  if (parent === dir) return dir
  await mkdir(parent, { mode: 0o700 }).catch(ignoreExisting)
  const found = await lstat(parent)
  // Any user may make folders in the temp folder: only a folder of our own is trusted.
  if (!found.isDirectory() || found.uid !== process.getuid?.()) throw new Error(`${parent} belongs to somebody else`)
  await protect(parent, account)
  return parent
}

/** Removes an empty folder. A folder with the socket of another start cannot be removed and stays. */
async function removeWhenEmpty(dir: string): Promise<void> {
  try {
    await rmdir(dir)
  } catch (error) {
    if (!hasCode(error, 'ENOTEMPTY', 'ENOENT')) throw error
  }
}

async function removeOthers(dir: string, socketDir: string): Promise<void> {
  for (const name of await readdir(dir)) {
    const path = join(dir, name)
    if (!LEFTOVER.test(name) || path === socketDir) continue
    // The initdb of an owner killed a moment ago may still be writing.
    await rm(path, { recursive: true, force: true, maxRetries: REMOVE_RETRIES })
  }
}

async function ownerOf(path: string): Promise<{ uid: number; gid: number } | undefined> {
  try {
    const { uid, gid } = await stat(path)
    return { uid, gid }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

function ignoreExisting(error: unknown): void {
  if (!hasCode(error, 'EEXIST')) throw error
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && 'code' in error && codes.includes(String(error.code))
}
