import { lstat, opendir, stat } from 'node:fs/promises'
import type { FileInfo, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { describeStats } from './file-info.ts'
import { errnoOf, fsError } from './fs-error.ts'
import { JSON_HEADERS, jsonArray } from './json-array.ts'
import { tidyPath } from './walk-tree.ts'

/** The most entries of one directory that are listed; their names are held in memory to be sorted. */
const MAX_ENTRIES = 1_000_000
/** Entries examined at the same time, and sent as one piece. */
const BATCH_SIZE = 128

/** The entries of a folder, in Latin1, one character a byte, so that any name survives and order is by bytes. */
interface Folder {
  path: string
  /** The names of all entries, sorted. */
  names: string[]
  /** The names of the entries that are links. */
  links: Set<string>
}

/**
 * Lists a directory sorted by name, hidden entries included and dangling links left out; with `depth`, each folder's
 * own entries follow it. A link is described by its target, and not entered.
 */
export function createList(work: WorkDirectory): Handler<ToolboxOperations['listFiles']> {
  return async ({ query, queryBytes, signal }) => {
    const given = queryBytes('path')
    const { depth = 1 } = query
    try {
      const folder = await readFolder(tidyPath(work.resolve(given)))
      if (depth === 1 && folder.names.length <= BATCH_SIZE) return await describeAll(folder, folder.names)
      const batches = listing({ folder, depth, signal, given })
      return new StreamReply({ status: 200, headers: JSON_HEADERS, body: jsonArray(batches) })
    } catch (error) {
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
  }
}

async function readFolder(path: string): Promise<Folder> {
  const names: string[] = []
  const links = new Set<string>()
  const entries = await opendir(Buffer.from(path, 'latin1'), { encoding: 'latin1', bufferSize: 1024 })
  for await (const entry of entries) {
    names.push(entry.name)
    if (entry.isSymbolicLink()) links.add(entry.name)
    if (names.length > MAX_ENTRIES) {
      throw new AppError('INVALID_FILE_PATH', `a directory of more than ${MAX_ENTRIES} entries is not listed`)
    }
  }
  return { path, names: names.sort(), links }
}

async function* listing(options: {
  folder: Folder
  depth: number
  signal: AbortSignal
  given: Buffer
}): AsyncGenerator<FileInfo[]> {
  try {
    yield* listFolder(options.folder, options.depth, options.signal)
  } catch (error) {
    throw fsError(error, options.given, 'FILE_READ_FAILED')
  }
}

async function* listFolder(folder: Folder, depth: number, signal: AbortSignal): AsyncGenerator<FileInfo[]> {
  const { path, names, links } = folder
  for (let start = 0; start < names.length; start += BATCH_SIZE) {
    signal.throwIfAborted()
    const batch = names.slice(start, start + BATCH_SIZE)
    const infos = await Promise.all(batch.map((name) => describeEntry(path, name)))
    let ready: FileInfo[] = []
    for (const [index, info] of infos.entries()) {
      if (info === undefined) continue
      ready.push(info)
      const name = batch[index] ?? ''
      if (depth === 1 || !info.isDir || links.has(name)) continue
      yield ready
      ready = []
      const below = await readFolderBelow(inFolder(path, name))
      if (below !== undefined) yield* listFolder(below, depth - 1, signal)
    }
    yield ready
  }
}

/** Returns undefined for a folder that this user may not read, or that is gone by now. */
async function readFolderBelow(path: string): Promise<Folder | undefined> {
  try {
    return await readFolder(path)
  } catch (error) {
    if (['EACCES', 'EPERM', 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(errnoOf(error) ?? '')) return undefined
    throw error
  }
}

async function describeAll(folder: Folder, names: readonly string[]): Promise<FileInfo[]> {
  const entries = await Promise.all(names.map((name) => describeEntry(folder.path, name)))
  return entries.filter((entry) => entry !== undefined)
}

async function describeEntry(folder: string, name: string): Promise<FileInfo | undefined> {
  const path = Buffer.from(inFolder(folder, name), 'latin1')
  const shownName = Buffer.from(name, 'latin1').toString()
  try {
    return describeStats(shownName, path, await stat(path))
  } catch (error) {
    const errno = errnoOf(error)
    // The entry is a dangling link, a link to itself, gone since the directory was read, or too deep to be named.
    if (['ENOENT', 'ELOOP', 'ENOTDIR', 'ENAMETOOLONG'].includes(errno ?? '')) return undefined
    // A link whose target this user may not see is shown as the link it is.
    if (errno === 'EACCES') return describeStats(shownName, path, await lstat(path))
    throw error
  }
}

function inFolder(folder: string, name: string): string {
  return folder === '/' ? `/${name}` : `${folder}/${name}`
}
