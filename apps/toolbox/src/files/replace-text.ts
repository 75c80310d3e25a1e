import type { BigIntStats } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import type { ReplaceResult, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import { JSON_HEADERS, jsonArray } from './json-array.ts'
import type { Leftovers } from './leftovers.ts'
import type { Finder } from './literal.ts'
import { createFinder } from './literal.ts'
import { createPathLocks } from './path-locks.ts'
import type { RegularFile } from './read-regular-file.ts'
import { openRegularFile, readExactly, readToEnd } from './read-regular-file.ts'
import { beginReplacement } from './replace-file.ts'
import { holdsPiece, replacePieces } from './replace-stream.ts'

/** The longest pattern; a table four times its size is held. */
const MAX_PATTERN_BYTES = 1024 * 1024

interface Change {
  finder: Finder
  newValue: Buffer
  signal: AbortSignal
}

/**
 * Replaces a literal text everywhere in each file, one file after the other, and streams the result of each. A file is
 * read twice in pieces, and its replacement is written beside it and renamed into place when whole, with the mode and,
 * where allowed, the owner of the old file: a reader sees the old file or the new one. A link stays a link and its target
 * is replaced; hard links part. A file without the text is not touched. Replacements of one file take turns, and a
 * replacement fails if the file is changed otherwise meanwhile.
 */
export function createReplaceText(
  work: WorkDirectory,
  leftovers: Leftovers,
): Handler<ToolboxOperations['replaceInFiles']> {
  const locks = createPathLocks()

  async function replaceOne(file: string, change: Change): Promise<ReplaceResult> {
    const given = Buffer.from(file)
    try {
      if (file === '') throw new AppError('INVALID_FILE_PATH', 'a file name must not be empty')
      const path = await realpath(work.resolve(given), 'buffer')
      await locks.inTurn(path.toString('latin1'), () => replaceInFile({ path, given, change, leftovers }))
      return { file, success: true }
    } catch (error) {
      change.signal.throwIfAborted()
      return { file, success: false, error: reasonOf(error, given) }
    }
  }

  return async ({ body: { files, pattern, newValue }, signal }) => {
    const text = Buffer.from(pattern)
    if (text.length > MAX_PATTERN_BYTES) {
      throw new AppError('BAD_REQUEST', `body: pattern must not be longer than ${MAX_PATTERN_BYTES} bytes`)
    }
    const change: Change = { finder: createFinder(text), newValue: Buffer.from(newValue), signal }
    async function* results(): AsyncGenerator<ReplaceResult[]> {
      for (const file of files) {
        signal.throwIfAborted()
        yield [await replaceOne(file, change)]
      }
    }
    return new StreamReply({ status: 200, headers: JSON_HEADERS, body: jsonArray(results()) })
  }
}

async function replaceInFile(options: { path: Buffer; given: Buffer; change: Change; leftovers: Leftovers }) {
  const { path, given, change, leftovers } = options
  const file = await openRegularFile(path, given)
  try {
    if (!(await holdsPiece(contentOf(file), change))) return
    const replacement = await beginReplacement(path)
    try {
      await pipeline(replacePieces(contentOf(file), change), replacement.sink, { signal: change.signal })
      await checkUnchanged(path, file)
      await replacement.commit()
    } catch (error) {
      await replacement.discard()
      throw error
    }
    await leftovers.sweep(replacement.folder)
  } finally {
    await file.handle.close()
  }
}

/** Yields the content as long as it was at the opening: a log that grows as fast as it is read would have no end. */
function contentOf(file: RegularFile): AsyncGenerator<Buffer> {
  const length = Number(file.stats.size)
  return length === 0 ? readToEnd(file) : readExactly(file, { start: 0, length })
}

/** Throws CONFLICT if the file has changed, so that its newer content is not lost. */
async function checkUnchanged(path: Buffer, { stats }: RegularFile): Promise<void> {
  const now = await stat(path, { bigint: true })
  const fields: (keyof BigIntStats & ('dev' | 'ino' | 'size' | 'mtimeNs'))[] = ['dev', 'ino', 'size', 'mtimeNs']
  if (fields.some((field) => now[field] !== stats[field])) {
    throw new AppError('CONFLICT', 'the file was changed while its text was being replaced')
  }
}

function reasonOf(error: unknown, given: Buffer): string {
  const translated = fsError(error, given, 'FILE_WRITE_FAILED')
  return translated instanceof AppError ? translated.message : `could not be written: ${given}`
}
