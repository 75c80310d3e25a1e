import type { Stats } from 'node:fs'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { access, lstat, open, readlink, realpath, rename, rm, stat } from 'node:fs/promises'
import { Writable } from 'node:stream'
import { AppError } from '@atoll/protocol'
import { errnoOf } from './fs-error.ts'
import { makeFolders } from './make-folders.ts'
import { parentOf, temporaryBeside } from './temporary-name.ts'

const PERMISSION_BITS = 0o7777
/** The mode of a new file, less the umask. */
const NEW_FILE_MODE = 0o666
/** The mode of a copy of an existing file until it has its final mode: no other user may read it. */
const PRIVATE_MODE = 0o600
/** Bytes gathered for one write. */
const WRITE_BUFFER_BYTES = 256 * 1024
/** The longest chain of links, as Linux follows it. */
const MAX_LINKS = 40

/** A file being written beside the one it will replace. End it with exactly one of `commit` and `discard`. */
export interface Replacement {
  readonly sink: Writable
  /**
   * Gives the file the mode and, where allowed, the owner of the file it replaces, and renames it into place. Resolves
   * when it is on disk: bytes only in memory would be lost if the disk of the host turned out to be full.
   */
  commit(): Promise<void>
  /** The folder in which the file is written, as an absolute path. */
  readonly folder: Buffer
  discard(): Promise<void>
}

/**
 * Opens a hidden file in the folder of `target`, whose parents are created. A link is followed, so that it stays a link.
 * Throws INVALID_FILE_PATH for an existing target that is not a regular file, and else the file system's error.
 */
export async function beginReplacement(target: Buffer): Promise<Replacement> {
  const { path, existing } = await follow(target)
  if (existing?.isDirectory()) throw new AppError('INVALID_FILE_PATH', 'the target is a directory')
  if (existing !== undefined && !existing.isFile()) {
    throw new AppError('INVALID_FILE_PATH', 'the target is not a regular file')
  }
  // Replacing needs only the folder's permission; a read-only file is refused all the same.
  if (existing !== undefined) await access(path, constants.W_OK)
  const temporary = temporaryBeside(path)
  const file = await openNew(temporary, existing === undefined ? NEW_FILE_MODE : PRIVATE_MODE)
  const { sink, idle } = writeTo(file)
  const discard = async () => {
    // Waits, because a write under way could land in another file that gets the number of the closed one.
    await idle()
    await file.close()
    // The temporary file is gone already if only the sync after its rename has failed.
    await rm(temporary, { force: true })
  }
  return {
    sink,
    folder: parentOf(path),
    async commit() {
      if (existing !== undefined) await adopt(file, existing)
      // The bytes must be on disk before the file replaces a whole one.
      await file.datasync()
      await rename(temporary, path)
      // Syncs the new name too, which a file system with a journal writes with the file.
      await file.sync()
      await file.close()
    },
    discard,
  }
}

function writeTo(file: FileHandle): { sink: Writable; idle: () => Promise<void> } {
  let writing: Promise<void> = Promise.resolve()
  const write = (bytes: Buffer, done: (error?: Error | null) => void) => {
    writing = file.writeFile(bytes).then(() => done(), done)
  }
  const sink = new Writable({
    highWaterMark: WRITE_BUFFER_BYTES,
    write: (chunk: Buffer, _encoding, done) => write(chunk, done),
    writev: (chunks, done) => write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done),
  })
  return { sink, idle: () => writing }
}

async function follow(target: Buffer): Promise<{ path: Buffer; existing: Stats | undefined }> {
  let path = target
  for (let links = 0; links <= MAX_LINKS; links += 1) {
    try {
      const real = await realpath(path, 'buffer')
      return { path: real, existing: await stat(real) }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw error
    }
    const link = await readDanglingLink(path)
    if (link === undefined) return { path, existing: undefined }
    path = link[0] === SLASH ? link : Buffer.concat([parentOf(path), Buffer.from('/'), link])
  }
  throw new AppError('INVALID_FILE_PATH', 'too many levels of symbolic links')
}

const SLASH = 0x2f

async function readDanglingLink(path: Buffer): Promise<Buffer | undefined> {
  try {
    return (await lstat(path)).isSymbolicLink() ? await readlink(path, 'buffer') : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}

async function openNew(path: Buffer, mode: number): Promise<FileHandle> {
  try {
    return await open(path, 'wx', mode)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    await makeFolders(parentOf(path))
    return open(path, 'wx', mode)
  }
}

async function adopt(file: FileHandle, existing: Stats): Promise<void> {
  const own = await file.stat()
  if (own.uid !== existing.uid || own.gid !== existing.gid) {
    // Only root may give a file away; for other users the new file stays theirs.
    await file.chown(existing.uid, existing.gid).catch(() => {})
  }
  await file.chmod(existing.mode & PERMISSION_BITS)
}
