import type { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { AppError } from '@atoll/protocol'
import type { Headers } from '@atoll/tunnel'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import type { Leftovers } from './leftovers.ts'
import type { FormShape } from './multipart-parser.ts'
import { createMultipartParser } from './multipart-parser.ts'
import { readForm } from './read-form.ts'
import type { Replacement } from './replace-file.ts'
import { beginReplacement } from './replace-file.ts'

const SLASH = 0x2f
/** The first field `file` counts; all others are ignored. */
const FORM: FormShape = { isFile: (fieldName) => fieldName === 'file', maxFiles: 1, maxParts: 16, maxFieldBytes: 1024 }

export interface Upload {
  /** The path as the caller named it. */
  given: Buffer
  headers: Headers
  stream: Readable | undefined
  /** Whether the body is the field `file` of a form, or the file itself. */
  isForm: boolean
}

/**
 * Streams an uploaded file to disk and returns its absolute path. The bytes go to a hidden file beside the target, which
 * replaces the target when the upload is complete: an upload that fails or is cut leaves the target as it was and nothing
 * beside it. Deletes temporary files that a killed toolbox left there earlier.
 */
export async function saveUpload(work: WorkDirectory, leftovers: Leftovers, upload: Upload): Promise<Buffer> {
  const { given, stream } = upload
  const target = work.resolve(given)
  if (target.at(-1) === SLASH) throw new AppError('INVALID_FILE_PATH', `names a directory: ${given}`)
  if (stream === undefined) throw new AppError('BAD_REQUEST', 'the request has no body')
  let replacement: Promise<Replacement> | undefined
  const begin = async () => {
    replacement = beginReplacement(target)
    return (await replacement).sink
  }
  try {
    if (upload.isForm) await receiveForm(stream, upload.headers, begin)
    else await pipeline(stream, await begin())
    if (replacement === undefined) throw new AppError('BAD_REQUEST', 'the form has no field named file')
    const { commit, folder } = await replacement
    await commit()
    await leftovers.sweep(folder)
    return target
  } catch (error) {
    // If the replacement could not begin there is nothing to discard, and that failure is the one reported.
    await replacement?.then(({ discard }) => discard()).catch(() => {})
    throw fsError(error, given, 'FILE_WRITE_FAILED')
  }
}

async function receiveForm(stream: Readable, headers: Headers, begin: () => Promise<Writable>): Promise<void> {
  const parser = createMultipartParser(headers['content-type'], FORM)
  await readForm(stream, parser, async (content) => {
    await pipeline(content, await begin())
  })
}
