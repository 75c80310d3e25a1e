import { AppError } from '@atoll/protocol'
import type { Place } from './marks.ts'
import type { TreeWatchOptions } from './tree-watch.ts'
import type { WatchedFolder } from './watched-folder.ts'
import { lookUp, readEntries, watchFolder } from './watched-folder.ts'

/** The most folders, and the most files and folders, that one watch covers. */
const MAX_WATCHED_FOLDERS = 20_000
const MAX_WATCHED_ENTRIES = 500_000
/** Folders that are not looked into: the kernel's own trees change all the time without events. */
const KERNEL_TREES = new Set(['/proc', '/sys'])

/** The known entries of a folder and those below it. Calls must not overlap, except those for one batch. */
export interface WatchedTree extends Disposable {
  /** Watches everything and reports nothing. Rejects with AppError when that is not possible. */
  start(onEvent: (place: Place) => void): Promise<void>
  /** Returns false when the root is gone, or another folder has taken its place. */
  rootStands(): Promise<boolean>
  /** Compares one place with the known entries, and reports the difference. */
  lookAt(place: Place): Promise<void>
  /** Compares everything. */
  lookAtAll(): Promise<void>
}

interface TreeState {
  readonly options: Pick<TreeWatchOptions, 'root' | 'recursive' | 'ignored' | 'onChange'>
  readonly folders: Map<string, WatchedFolder>
  /** The number of known files and folders. */
  entryCount: number
  started: boolean
  closed: boolean
  onEvent(place: Place): void
}

export function createWatchedTree(options: TreeState['options']): WatchedTree {
  const state: TreeState = {
    options,
    folders: new Map(),
    entryCount: 0,
    started: false,
    closed: false,
    onEvent() {},
  }
  return {
    async start(onEvent) {
      state.onEvent = onEvent
      await enter(state, '.')
      if (!state.folders.has('.')) throw new AppError('FILE_ACCESS_DENIED', 'the folder is gone, or may not be read')
      state.started = true
    },
    async rootStands() {
      const found = await lookUp(options.root)
      return found !== undefined && found.identity === state.folders.get('.')?.identity
    },
    lookAt: (place) => lookAt(state, place),
    lookAtAll: () => compare(state, '.', true),
    [Symbol.dispose]() {
      state.closed = true
      release(state, '.')
    },
  }
}

/** Watches a folder that was not watched, and reads its entries. */
async function enter(state: TreeState, path: string): Promise<void> {
  if (state.folders.size >= MAX_WATCHED_FOLDERS) throw tooMany(MAX_WATCHED_FOLDERS, 'folders')
  const watched = await watchFolder(absolute(state, path), (name, contentOnly) =>
    state.onEvent({ folder: path, name, contentOnly }),
  )
  if (watched === undefined) return
  if (state.closed || state.folders.has(path)) return watched[Symbol.dispose]()
  state.folders.set(path, watched)
  await compare(state, path, false)
}

/** Reads a watched folder and reports how it differs from its known entries; with `deep` also the folders below it. */
async function compare(state: TreeState, path: string, deep: boolean): Promise<void> {
  const now = await readEntries(absolute(state, path))
  const known = state.folders.get(path)?.entries
  if (now === undefined || known === undefined) return
  for (const [name, isDir] of known) if (now.get(name) !== isDir) forget(state, { folder: path, name, isDir })
  for (const [name, isDir] of now) {
    if (state.closed) return
    if (isSkipped(state, below(path, name))) continue
    if (!known.has(name)) await learn(state, { folder: path, name, isDir })
    else if (deep && isDir) {
      // The name may be of another folder by now.
      await lookAt(state, { folder: path, name, contentOnly: false })
      await compare(state, below(path, name), true)
    }
  }
}

async function lookAt(state: TreeState, { folder, name, contentOnly }: Place): Promise<void> {
  const known = state.folders.get(folder)?.entries
  const path = below(folder, name)
  if (known === undefined || isSkipped(state, path)) return
  const before = known.get(name)
  if (contentOnly && before !== undefined) {
    if (!before) tell(state, { type: 'changed', path, isDir: false })
    return
  }
  const found = await lookUp(absolute(state, path))
  if (state.folders.get(folder)?.entries !== known || known.get(name) !== before) return
  if (before === true && isSameFolder(state.folders.get(path), found)) return
  if (before === false && found?.isDir === false) {
    tell(state, { type: 'changed', path, isDir: false })
    return
  }
  if (before !== undefined) forget(state, { folder, name, isDir: before })
  if (found !== undefined) await learn(state, { folder, name, isDir: found.isDir })
}

/** Returns whether the folder is the same one; a folder without a watch of its own counts as the same. */
function isSameFolder(watched: WatchedFolder | undefined, found: Awaited<ReturnType<typeof lookUp>>): boolean {
  return found?.isDir === true && (watched === undefined || watched.identity === found.identity)
}

interface Entry {
  readonly folder: string
  readonly name: string
  readonly isDir: boolean
}

function forget(state: TreeState, { folder, name, isDir }: Entry): void {
  const path = below(folder, name)
  if (state.folders.get(folder)?.entries.delete(name)) state.entryCount -= 1
  if (isDir) release(state, path)
  tell(state, { type: 'deleted', path, isDir })
}

/** Stops watching a folder and those below it. */
function release(state: TreeState, path: string): void {
  const folder = state.folders.get(path)
  if (folder === undefined) return
  folder[Symbol.dispose]()
  state.folders.delete(path)
  state.entryCount -= folder.entries.size
  for (const [name, isDir] of folder.entries) if (isDir) release(state, below(path, name))
}

async function learn(state: TreeState, { folder, name, isDir }: Entry): Promise<void> {
  const path = below(folder, name)
  state.folders.get(folder)?.entries.set(name, isDir)
  state.entryCount += 1
  if (state.entryCount > MAX_WATCHED_ENTRIES) throw tooMany(MAX_WATCHED_ENTRIES, 'files')
  tell(state, { type: 'created', path, isDir })
  if (isDir && state.options.recursive) await enter(state, path)
}

function tell(state: TreeState, change: Parameters<TreeWatchOptions['onChange']>[0]): void {
  if (state.started && !state.closed) state.options.onChange(change)
}

function absolute({ options: { root } }: TreeState, path: string): string {
  if (path === '.') return root
  return root === '/' ? `/${path}` : `${root}/${path}`
}

function below(folder: string, name: string): string {
  return folder === '.' ? name : `${folder}/${name}`
}

function isSkipped(state: TreeState, path: string): boolean {
  return state.options.ignored(path) || KERNEL_TREES.has(absolute(state, path))
}

function tooMany(most: number, what: string): AppError {
  return new AppError(
    'BAD_REQUEST',
    `more than ${most} ${what} cannot be watched; ignore some, or watch a folder below`,
  )
}
