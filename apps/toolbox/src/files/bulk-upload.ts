import type { Readable, Writable } from 'node:stream'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError, errorBody, MAX_PATH_BYTES } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import { JSON_HEADERS } from './json-array.ts'
import type { Leftovers } from './leftovers.ts'
import type { FormShape } from './multipart-parser.ts'
import { createMultipartParser } from './multipart-parser.ts'
import { readForm } from './read-form.ts'
import { beginReplacement } from './replace-file.ts'

const PATH = '/files/bulk-upload'
const SLASH = 0x2f
const MAX_FILES = 1_000
/** Failures named in one message; more than these are only counted. */
const MAX_FAILURES_TOLD = 8
const FILE_FIELD = /^files\[(\d{1,6})\]\.file$/
const PATH_FIELD = /^files\[(\d{1,6})\]\.path$/

const FORM: FormShape = {
  isFile: (fieldName) => FILE_FIELD.test(fieldName),
  maxFiles: MAX_FILES,
  maxParts: 2 * MAX_FILES,
  maxFieldBytes: MAX_PATH_BYTES,
}

/** The result of one file. */
type Outcome = { path: string; bytes: number } | { failure: string }

/**
 * Streams the files of a form to disk, one after the other. Each replaces its target when it is whole; a file that fails
 * does not stop the others. The answer is then a BAD_REQUEST whose `errors` name the failed files, each with its reason.
 */
export function createBulkUpload(work: WorkDirectory, leftovers: Leftovers): Handler<ToolboxOperations['uploadFiles']> {
  return async ({ headers, stream }) => {
    if (stream === undefined) throw new AppError('BAD_REQUEST', 'the request has no body')
    const parser = createMultipartParser(headers['content-type'], FORM)
    const paths = new Map<string, string>()
    const outcomes: Outcome[] = []
    let count = 0
    let earlier: Promise<unknown> = Promise.resolve()
    parser.onField((fieldName, path, isWhole) => {
      const [, index] = PATH_FIELD.exec(fieldName) ?? []
      // A path that was cut would name another file.
      if (index !== undefined && isWhole) paths.set(index, path)
    })
    await readForm(stream, parser, async (content, fieldName) => {
      count += 1
      const [, index = ''] = FILE_FIELD.exec(fieldName) ?? []
      const saving = earlier.then(() => save({ work, leftovers, content, path: paths.get(index) ?? '' }))
      earlier = saving.catch(() => undefined)
      outcomes.push(await saving)
    })
    if (count === 0) throw new AppError('BAD_REQUEST', 'the form has no field named files[0].file')
    const failures = outcomes.flatMap((outcome) => ('failure' in outcome ? [outcome.failure] : []))
    if (failures.length > 0) return refusal(failures)
    return { files: outcomes.flatMap((outcome) => ('failure' in outcome ? [] : [outcome])) }
  }
}

interface Save {
  work: WorkDirectory
  leftovers: Leftovers
  content: Readable
  path: string
}

/** Writes one file and returns its result. Rejects when the form itself breaks off. */
async function save({ work, leftovers, content, path }: Save): Promise<Outcome> {
  const file = await begin(work, path)
  let failure = file instanceof Error ? file : undefined
  let bytes = 0
  try {
    // Reads to the end even when the file cannot be written, so that the next files of the form can be.
    for await (const piece of content) {
      if (file instanceof Error || failure) continue
      failure = await write(file.sink, piece)
      bytes += piece.length
    }
    if (file instanceof Error || failure) throw failure
    await file.commit()
    await leftovers.sweep(file.folder)
    return { path: work.resolve(path).toString(), bytes }
  } catch (error) {
    if (!(file instanceof Error)) await file.discard()
    if (failure === undefined && content.errored) throw error
    return { failure: reasonOf(error, path) }
  }
}

async function begin(work: WorkDirectory, path: string) {
  try {
    if (path === '') throw new AppError('BAD_REQUEST', 'a file without its .path before it')
    const target = work.resolve(Buffer.from(path))
    if (target.at(-1) === SLASH) throw new AppError('INVALID_FILE_PATH', 'names a directory')
    return await beginReplacement(target)
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function write(sink: Writable, piece: Buffer): Promise<Error | undefined> {
  return new Promise((resolve) => {
    sink.write(piece, (error) => resolve(error ?? undefined))
  })
}

function reasonOf(error: unknown, path: string): string {
  // An error of the disk already names the path; our own errors do not.
  if (error instanceof AppError) return path === '' ? error.message : `${path}: ${error.message}`
  const translated = fsError(error, Buffer.from(path), 'FILE_WRITE_FAILED')
  return translated instanceof AppError ? translated.message : `${path}: could not be written`
}

/** Returns the body of every error, with the failures one by one as the contract has them. */
function refusal(failures: readonly string[]): StreamReply {
  const more = failures.length > MAX_FAILURES_TOLD ? `; and ${failures.length - MAX_FAILURES_TOLD} more` : ''
  const error = new AppError('BAD_REQUEST', `not written: ${failures.slice(0, MAX_FAILURES_TOLD).join('; ')}${more}`)
  const about = errorBody(error, { source: 'DAYTONA_DAEMON', method: 'POST', path: PATH, now: Date.now() })
  const body = Buffer.from(JSON.stringify({ ...about, errors: failures }))
  return new StreamReply({
    status: error.status,
    headers: { ...JSON_HEADERS, 'content-length': String(body.length) },
    body: (async function* () {
      yield body
    })(),
  })
}
