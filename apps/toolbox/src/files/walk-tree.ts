import type { Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'
import { errnoOf } from './fs-error.ts'

/** Entries read, and passed on, at a time. */
const BATCH_SIZE = 1024
/** Folders found and not yet entered; their paths are held in memory. */
const MAX_WAITING_FOLDERS = 1_000_000
/** Folders with endless files and files that block for ever: a walk does not enter them from above. */
const KERNEL_FOLDERS = new Set(['/proc', '/sys', '/dev'])

/** An entry of a walk. Path and name are Latin1, one character a byte, so that any name survives. */
export interface TreeEntry {
  path: string
  entry: Dirent
}

/**
 * Yields everything below a folder, a batch at a time. Links are yielded and not followed, so a loop of them ends. Folders
 * below that cannot be read are left out, as are /proc, /sys and /dev below `/`. Throws the file system's error for
 * `start`, INVALID_FILE_PATH when more than a million folders wait, and the signal's reason.
 */
export async function* walkTree(start: string, signal: AbortSignal): AsyncGenerator<TreeEntry[]> {
  const waiting = [start]
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    try {
      for await (const batch of readFolder(folder)) {
        signal.throwIfAborted()
        addFolders(batch, waiting)
        yield batch
      }
    } catch (error) {
      // A folder below `start` is not readable, or is gone since it was found.
      if (folder === start || errnoOf(error) === undefined) throw error
    }
  }
}

function addFolders(batch: readonly TreeEntry[], waiting: string[]): void {
  for (const found of batch) if (isEntered(found)) waiting.push(found.path)
  if (waiting.length > MAX_WAITING_FOLDERS) {
    throw new AppError('INVALID_FILE_PATH', `more than ${MAX_WAITING_FOLDERS} folders side by side`)
  }
}

/** Returns whether a walk enters the entry. */
export function isEntered({ path, entry }: TreeEntry): boolean {
  return entry.isDirectory() && !KERNEL_FOLDERS.has(path)
}

async function* readFolder(path: string): AsyncGenerator<TreeEntry[]> {
  const prefix = path === '/' ? '/' : `${path}/`
  let batch: TreeEntry[] = []
  const folder = await opendir(Buffer.from(path, 'latin1'), { encoding: 'latin1', bufferSize: BATCH_SIZE })
  for await (const entry of folder) {
    batch.push({ path: prefix + entry.name, entry })
    if (batch.length < BATCH_SIZE) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

/** Returns a Latin1 path without the slashes and dots that change nothing, so that longer paths made of it read well. */
export function tidyPath(path: Buffer): string {
  const parts = path.toString('latin1').split('/')
  return `/${parts.filter((part) => part !== '' && part !== '.').join('/')}`
}

/** Returns a Latin1 path or name as JSON shows it: bytes that are not UTF-8 become U+FFFD. */
export function shown(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString()
}
