import { randomBytes } from 'node:crypto'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError, errorBody } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { partDisposition } from './content-disposition.ts'
import type { RegularFile } from './read-regular-file.ts'
import { openRegularFile, readExactly, readToEnd } from './read-regular-file.ts'

/** The path that the errors in parts name. */
const PATH = '/files/bulk-download'

interface Parts {
  work: WorkDirectory
  paths: readonly string[]
  boundary: string
  signal: AbortSignal
}

/**
 * Streams regular files one after the other as parts of a form, in the order asked for; links are followed. A file that
 * cannot be read is a part named `error`, with the body that a call for it alone would have got. A failure in the middle
 * of a file breaks the answer off, because its part has begun.
 */
export function createBulkDownload(work: WorkDirectory): Handler<ToolboxOperations['downloadFiles']> {
  return async ({ body: { paths }, signal }) => {
    if (paths.length === 0) throw new AppError('BAD_REQUEST', 'body: paths must not be empty')
    const boundary = `atoll-${randomBytes(16).toString('hex')}`
    return new StreamReply({
      status: 200,
      headers: { 'content-type': `multipart/form-data; boundary=${boundary}` },
      body: writeParts({ work, paths, boundary, signal }),
    })
  }
}

async function* writeParts({ work, paths, boundary, signal }: Parts): AsyncGenerator<Buffer> {
  let before = ''
  for (const path of paths) {
    signal.throwIfAborted()
    // The headers of a part go out as one piece, because some readers look for them in one piece of the answer.
    yield* writePart(work, path, (field, headers) =>
      Buffer.from(
        [`${before}--${boundary}`, `Content-Disposition: ${partDisposition(field, path)}`, ...headers, '\r\n'].join(
          '\r\n',
        ),
      ),
    )
    before = '\r\n'
  }
  yield Buffer.from(`\r\n--${boundary}--\r\n`)
}

async function* writePart(
  work: WorkDirectory,
  path: string,
  head: (field: 'file' | 'error', headers: readonly string[]) => Buffer,
): AsyncGenerator<Buffer> {
  let file: RegularFile
  try {
    const given = Buffer.from(path)
    file = await openRegularFile(work.resolve(given), given)
  } catch (error) {
    const body = Buffer.from(JSON.stringify(describe(error)))
    yield Buffer.concat([head('error', ['Content-Type: application/json', `Content-Length: ${body.length}`]), body])
    return
  }
  try {
    const size = Number(file.stats.size)
    const type = 'Content-Type: application/octet-stream'
    yield head('file', size === 0 ? [type] : [type, `Content-Length: ${size}`])
    yield* size === 0 ? readToEnd(file) : readExactly(file, { start: 0, length: size })
  } finally {
    await file.handle.close()
  }
}

function describe(error: unknown) {
  const known = error instanceof AppError ? error : new AppError('FILE_READ_FAILED', 'the file could not be opened')
  return errorBody(known, { source: 'DAYTONA_DAEMON', method: 'POST', path: PATH, now: Date.now() })
}
