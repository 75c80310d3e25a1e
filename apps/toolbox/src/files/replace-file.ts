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
/** A new file's mode, less the umask. */
const NEW_FILE_MODE = 0o666
/** Until it has its final mode, a copy of a file that exists may be read by nobody else. */
const PRIVATE_MODE = 0o600
/** Bytes gathered for one write. */
const WRITE_BUFFER_BYTES = 256 * 1024
/** As many links as Linux follows. */
const MAX_LINKS = 40

/** A file being written beside the one it will replace. End it with exactly one of `commit` and `discard`. */
export interface Replacement {
  readonly sink: Writable
  /**
   * Gives it the mode and, where allowed, the owner of the file it replaces, and puts it in its place. Resolves when it
   * is on disk: what is only in memory is lost when the disk of the host turns out to be full.
   */
  commit(): Promise<void>
  /** The folder it is written in; absolute. */
  readonly folder: Buffer
  discard(): Promise<void>
}

/**
 * Opens a hidden file in the folder of `target`, whose parents are created. A link is followed, so that it stays one.
 * Throws INVALID_FILE_PATH when the target is there and no regular file, and what the file system says otherwise.
 */
export async function beginReplacement(target: Buffer): Promise<Replacement> {
  const { path, existing } = await follow(target)
  if (existing?.isDirectory()) throw new AppError('INVALID_FILE_PATH', 'the target is a directory')
  if (existing !== undefined && !existing.isFile()) {
    throw new AppError('INVALID_FILE_PATH', 'the target is not a regular file')
  }
  // Replacing needs only the folder's permission; a file marked read-only is refused all the same.
  if (existing !== undefined) await access(path, constants.W_OK)
  const temporary = temporaryBeside(path)
  const file = await openNew(temporary, existing === undefined ? NEW_FILE_MODE : PRIVATE_MODE)
  const { sink, idle } = writeTo(file)
  const discard = async () => {
    // A write under way when the number of its file is closed could land in the next file that gets the number.
    await idle()
    await file.close()
    // It is gone where it took its place and only then could not be written down.
    await rm(temporary, { force: true })
  }
  return {
    sink,
    folder: parentOf(path),
    async commit() {
      if (existing !== undefined) await adopt(file, existing)
      // Before it takes the place of what is whole.
      await file.datasync()
      await rename(temporary, path)
      // With its new name, which a file system with a journal writes down with the file.
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
    // Only root may give a file away; for others the new one is simply theirs.
    await file.chown(existing.uid, existing.gid).catch(() => {})
  }
  await file.chmod(existing.mode & PERMISSION_BITS)
}
