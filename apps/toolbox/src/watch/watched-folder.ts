import type { FSWatcher } from 'node:fs'
import { watch } from 'node:fs'
import { lstat, readdir } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'

/** What a folder holds: name → whether it is a folder. Names are bytes, as latin1: they need not be UTF-8. */
export type Entries = Map<string, boolean>

/** A folder that the system tells us of, and what it held when it was last looked at. */
export interface WatchedFolder extends Disposable {
  /** Tells it from another folder that has taken its place. */
  readonly identity: string
  entries: Entries
}

/** A path of bytes, as latin1. */
export function bytesOf(path: string): Buffer {
  return Buffer.from(path, 'latin1')
}

/**
 * Starts watching a folder without looking into it. `onEvent` is told the name, which may be the folder's own, and
 * whether only content or attributes have changed. Returns undefined when the folder is gone or may not be read.
 * Throws SERVICE_UNAVAILABLE when the system watches no more.
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
    // Its end is found by looking.
    watcher.on('error', () => {})
    return { identity: found.identity, entries: new Map(), [Symbol.dispose]: () => watcher.close() }
  } catch (error) {
    throwIfExhausted(error)
    return undefined
  }
}

/** What a folder holds; undefined when it is gone or may not be read. */
export async function readEntries(path: string): Promise<Entries | undefined> {
  try {
    const entries = await readdir(bytesOf(path), { encoding: 'latin1', withFileTypes: true })
    return new Map(entries.map((entry) => [entry.name, entry.isDirectory()]))
  } catch (error) {
    throwIfExhausted(error)
    return undefined
  }
}

/** What stands at a path, links not followed. Undefined for what is not there, or may not be looked at. */
export async function lookUp(path: string): Promise<{ isDir: boolean; identity: string } | undefined> {
  try {
    const stats = await lstat(bytesOf(path), { bigint: true })
    // The number of a folder that was deleted is soon given to another.
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
