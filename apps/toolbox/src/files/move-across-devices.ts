import type { Stats } from 'node:fs'
import { constants } from 'node:fs'
import {
  chmod,
  copyFile,
  lchown,
  lstat,
  lutimes,
  mkdir,
  readdir,
  readlink,
  rename,
  rm,
  symlink,
} from 'node:fs/promises'
import { AppError } from '@atoll/protocol'
import { temporaryBeside } from './temporary-name.ts'

const PERMISSION_BITS = 0o7777

interface Copy {
  source: Buffer
  destination: Buffer
  signal: AbortSignal
}

/**
 * Copies `source` beside `destination`, renames the copy into place and deletes the source. Modes, times, links and,
 * where allowed, owners are kept. Until the rename nothing is visible at `destination`, and a failure leaves no copy.
 * Throws INVALID_FILE_PATH for a socket, pipe or device, which have no contents to copy.
 */
export async function moveAcrossDevices({ source, destination, signal }: Copy): Promise<void> {
  const temporary = temporaryBeside(destination)
  try {
    await copyTree({ source, destination: temporary, signal })
    await rename(temporary, destination)
  } catch (error) {
    await rm(temporary, { recursive: true, force: true })
    throw error
  }
  await rm(source, { recursive: true })
}

async function copyTree(copy: Copy): Promise<void> {
  copy.signal.throwIfAborted()
  const stats = await lstat(copy.source)
  if (stats.isDirectory()) await copyFolder(copy)
  else if (stats.isSymbolicLink()) await symlink(await readlink(copy.source, 'buffer'), copy.destination)
  else if (stats.isFile()) await copyFile(copy.source, copy.destination, constants.COPYFILE_EXCL)
  else throw new AppError('INVALID_FILE_PATH', `not a file, folder or link: ${copy.source}`)
  await copyAttributes(copy.destination, stats)
}

async function copyFolder({ source, destination, signal }: Copy): Promise<void> {
  await mkdir(destination, 0o700)
  for (const name of await readdir(source, 'buffer')) {
    const tail = Buffer.concat([Buffer.from('/'), name])
    await copyTree({ source: Buffer.concat([source, tail]), destination: Buffer.concat([destination, tail]), signal })
  }
}

async function copyAttributes(path: Buffer, stats: Stats): Promise<void> {
  // Giving files away needs root; without it the copy belongs to the mover.
  await lchown(path, stats.uid, stats.gid).catch(() => {})
  if (!stats.isSymbolicLink()) await chmod(path, stats.mode & PERMISSION_BITS)
  await lutimes(path, stats.atime, stats.mtime)
}
