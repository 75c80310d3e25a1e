import type { FSWatcher } from 'node:fs'
import { watch } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'

/** The entries of a folder: name → whether it is a folder. Names are bytes, as Latin1: they need not be UTF-8. */
export type Entries = Map<string, boolean>

/** A folder with a system watch, and its entries when it was last looked at. */
export interface WatchedFolder extends Disposable {
  /** Tells the folder from another one that has taken its place. */
  readonly identity: string
  entries: Entries
}

/** Returns the bytes of a path that is held as Latin1. */
export function bytesOf(path: string): Buffer {
  return Buffer.from(path, 'latin1')
}

/**
 * Starts watching a folder without looking into it. `onEvent` gets the name, which may be the folder's own, and whether
 * only content or attributes have changed. Returns undefined when the folder is gone or may not be read. Throws
 * SERVICE_UNAVAILABLE when the system allows no more watches.
 */
export async function watchFolder(
  path: string,
  onEvent: (name: string, contentOnly: boolean) => void,
): Promise<WatchedFolder | undefined> {
  const found = await lookUp(path)
  if (found?.isDir !== true) return undefined
  try {
    const watcher: FSWatcher = watch(bytesOf(path), { encoding: 'latin1', persistent: false })
    watcher.on('change', (event, name) => onEvent(String(name ?? ''), event === 'change'))
    // The end of the folder is found by looking at it.
    watcher.on('error', () => {})
    return { identity: found.identity, entries: new Map(), [Symbol.dispose]: () => watcher.close() }
  } catch (error) {
    throwIfExhausted(error)
    return undefined
  }
}

/** Returns the entries of a folder; undefined when it is gone or may not be read. */
export async function readEntries(path: string): Promise<Entries | undefined> {
  try {
    const entries = await readdir(bytesOf(path), { encoding: 'latin1', withFileTypes: true })
    return new Map(entries.map((entry) => [entry.name, entry.isDirectory()]))
  } catch (error) {
    throwIfExhausted(error)
    return undefined
  }
}

/** Returns what is at a path, links not followed; undefined if there is nothing, or it may not be looked at. */
export async function lookUp(path: string): Promise<{ isDir: boolean; identity: string } | undefined> {
  try {
    const stats = await lstat(bytesOf(path), { bigint: true })
    // The inode number of a deleted folder is soon given to another one, so it alone does not identify the folder.
    return { isDir: stats.isDirectory(), identity: `${stats.dev} ${stats.ino} ${stats.birthtimeNs}` }
  } catch {
    return undefined
  }
}

function throwIfExhausted(error: unknown): void {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  if (code === 'ENOSPC') throw exhausted('watches of this user are used up (fs.inotify.max_user_watches)', error)
  if (code === 'EMFILE' || code === 'ENFILE') {
    throw exhausted('open files or watchers are used up (fs.inotify.max_user_instances, ulimit -n)', error)
  }
}

function exhausted(what: string, cause: unknown): AppError {
  return new AppError('SERVICE_UNAVAILABLE', `the system watches no more: all ${what}`, { cause })
}
