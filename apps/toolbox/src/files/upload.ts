import { pipeline } from 'node:stream/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import type { FormShape } from './multipart-parser.ts'
import { createMultipartParser } from './multipart-parser.ts'
import { readForm } from './read-form.ts'
import type { Replacement } from './replace-file.ts'
import { beginReplacement } from './replace-file.ts'

const SLASH = 0x2f
/** The first field `file` counts; all others are ignored. */
const FORM: FormShape = { isFile: (fieldName) => fieldName === 'file', maxFiles: 1, maxParts: 16, maxFieldBytes: 1024 }

/**
 * Streams the multipart field `file` to disk. The bytes go to a hidden file beside the target, which takes its place
 * when the form is complete: an upload that fails or is cut leaves the target as it was and nothing beside it.
 */
export function createUpload(work: WorkDirectory): Handler<ToolboxOperations['uploadFile']> {
  return async ({ queryBytes, headers, stream }) => {
    const given = queryBytes('path')
    const target = work.resolve(given)
    if (target.at(-1) === SLASH) throw new AppError('INVALID_FILE_PATH', `names a directory: ${given}`)
    if (stream === undefined) throw new AppError('BAD_REQUEST', 'the request has no body')
    const parser = createMultipartParser(headers['content-type'], FORM)
    let replacement: Promise<Replacement> | undefined
    try {
      await readForm(stream, parser, async (content) => {
        replacement = beginReplacement(target)
        await pipeline(content, (await replacement).sink)
      })
      if (replacement === undefined) throw new AppError('BAD_REQUEST', 'the form has no field named file')
      await (await replacement).commit()
    } catch (error) {
      // When it could not even begin there is nothing to discard, and its failure is the one reported.
      await replacement?.then(({ discard }) => discard()).catch(() => {})
      throw fsError(error, given, 'FILE_WRITE_FAILED')
    }
  }
}
