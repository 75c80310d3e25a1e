import { lstat, opendir, stat } from 'node:fs/promises'
import type { FileInfo, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { describeStats } from './file-info.ts'
import { errnoOf, fsError } from './fs-error.ts'

/** Most entries of one directory that are listed; their names are held in memory to be sorted. */
const MAX_ENTRIES = 1_000_000
/** Entries looked at side by side, and sent as one piece. */
const BATCH_SIZE = 128

/** Lists one level, sorted by name, hidden entries included and dangling links left out. */
export function createList(work: WorkDirectory): Handler<ToolboxOperations['listFiles']> {
  return async ({ queryBytes }) => {
    const given = queryBytes('path')
    const path = work.resolve(given)
    try {
      const names = await readNames(path)
      if (names.length <= BATCH_SIZE) return await describeAll(path, names)
      return new StreamReply({
        status: 200,
        headers: { 'content-type': 'application/json; charset=utf-8' },
        body: listing(path, names, given),
      })
    } catch (error) {
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
  }
}

/** One character a byte (latin1), so that any name survives and order is by bytes. */
async function readNames(path: Buffer): Promise<string[]> {
  const names: string[] = []
  for await (const entry of await opendir(path, { encoding: 'latin1', bufferSize: 1024 })) {
    names.push(entry.name)
    if (names.length > MAX_ENTRIES) {
      throw new AppError('INVALID_FILE_PATH', `a directory of more than ${MAX_ENTRIES} entries is not listed`)
    }
  }
  return names.sort()
}

async function* listing(path: Buffer, names: string[], given: Buffer): AsyncGenerator<Buffer> {
  let before = '['
  for (let start = 0; start < names.length; start += BATCH_SIZE) {
    let entries: FileInfo[]
    try {
      entries = await describeAll(path, names.slice(start, start + BATCH_SIZE))
    } catch (error) {
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
    if (entries.length === 0) continue
    yield Buffer.from(before + JSON.stringify(entries).slice(1, -1))
    before = ','
  }
  yield Buffer.from(before === '[' ? '[]' : ']')
}

async function describeAll(folder: Buffer, names: string[]): Promise<FileInfo[]> {
  const entries = await Promise.all(names.map((name) => describeEntry(folder, Buffer.from(name, 'latin1'))))
  return entries.filter((entry) => entry !== undefined)
}

async function describeEntry(folder: Buffer, name: Buffer): Promise<FileInfo | undefined> {
  const path = Buffer.concat([folder, Buffer.from('/'), name])
  try {
    return describeStats(name.toString(), await stat(path))
  } catch (error) {
    const errno = errnoOf(error)
    // A dangling link, a link to itself, or gone since the directory was read.
    if (errno === 'ENOENT' || errno === 'ELOOP' || errno === 'ENOTDIR') return undefined
    // A link to where this user may not look is shown as the link it is.
    if (errno === 'EACCES') return describeStats(name.toString(), await lstat(path))
    throw error
  }
}
