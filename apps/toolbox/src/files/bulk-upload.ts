import type { Readable, Writable } from 'node:stream'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError, MAX_PATH_BYTES } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import type { FormShape } from './multipart-parser.ts'
import { createMultipartParser } from './multipart-parser.ts'
import { readForm } from './read-form.ts'
import { beginReplacement } from './replace-file.ts'

const SLASH = 0x2f
const MAX_FILES = 1_000
/** Failures told in one message; more than these are counted. */
const MAX_FAILURES_TOLD = 8
const FILE_FIELD = /^files\[(\d{1,6})\]\.file$/
const PATH_FIELD = /^files\[(\d{1,6})\]\.path$/

const FORM: FormShape = {
  isFile: (fieldName) => FILE_FIELD.test(fieldName),
  maxFiles: MAX_FILES,
  maxParts: 2 * MAX_FILES,
  maxFieldBytes: MAX_PATH_BYTES,
}

/**
 * Streams the files of a form to disk, one after the other. Each takes the place of its target when it is whole;
 * one that fails keeps none of the others. BAD_REQUEST names those that failed, each with its reason.
 */
export function createBulkUpload(work: WorkDirectory): Handler<ToolboxOperations['uploadFiles']> {
  return async ({ headers, stream }) => {
    if (stream === undefined) throw new AppError('BAD_REQUEST', 'the request has no body')
    const parser = createMultipartParser(headers['content-type'], FORM)
    const paths = new Map<string, string>()
    const failures: string[] = []
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
      const saving = earlier.then(() => save(work, content, paths.get(index) ?? ''))
      earlier = saving.catch(() => undefined)
      const failure = await saving
      if (failure !== undefined) failures.push(failure)
    })
    if (count === 0) throw new AppError('BAD_REQUEST', 'the form has no field named files[0].file')
    if (failures.length > 0) throw new AppError('BAD_REQUEST', tell(failures))
  }
}

/** Writes one file and returns, in words, why it could not be written. Rejects when the form itself breaks off. */
async function save(work: WorkDirectory, content: Readable, path: string): Promise<string | undefined> {
  const file = await begin(work, path)
  let failure = file instanceof Error ? file : undefined
  try {
    // To the end even when the file cannot be written: the ones after it in the form can.
    for await (const piece of content) {
      if (file instanceof Error || failure) continue
      failure = await write(file.sink, piece)
    }
    if (file instanceof Error || failure) throw failure
    await file.commit()
    return undefined
  } catch (error) {
    if (!(file instanceof Error)) await file.discard()
    if (failure === undefined && content.errored) throw error
    return reasonOf(error, path)
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
  // What the disk refuses is told with its path; our own refusals are not.
  if (error instanceof AppError) return path === '' ? error.message : `${path}: ${error.message}`
  const translated = fsError(error, Buffer.from(path), 'FILE_WRITE_FAILED')
  return translated instanceof AppError ? translated.message : `${path}: could not be written`
}

function tell(failures: readonly string[]): string {
  const more = failures.length > MAX_FAILURES_TOLD ? `; and ${failures.length - MAX_FAILURES_TOLD} more` : ''
  return `not written: ${failures.slice(0, MAX_FAILURES_TOLD).join('; ')}${more}`
}
