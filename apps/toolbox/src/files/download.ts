import type { BigIntStats } from 'node:fs'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Headers } from '@atoll/tunnel'
import type { Handler } from '../call.ts'
import { StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import type { ByteRange } from './byte-range.ts'
import { parseRange } from './byte-range.ts'
import { contentDisposition } from './content-disposition.ts'
import { baseName } from './file-info.ts'
import { fsError } from './fs-error.ts'
import type { RegularFile } from './read-regular-file.ts'
import { openRegularFile, readExactly, readToEnd } from './read-regular-file.ts'

/** Streams one regular file; links are followed, and one `Range` is honoured. */
export function createDownload(work: WorkDirectory): Handler<ToolboxOperations['downloadFile']> {
  return async ({ queryBytes, headers }) => {
    const given = queryBytes('path')
    const path = work.resolve(given)
    const file = await openRegularFile(path, given)
    try {
      return reply({ file, name: await baseName(path), headers })
    } catch (error) {
      await file.handle.close()
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
  }
}

function reply(about: { file: RegularFile; name: string; headers: Headers }): StreamReply {
  const { file } = about
  const size = Number(file.stats.size)
  const validators = { etag: entityTag(file.stats), 'last-modified': file.stats.mtime.toUTCString() }
  const range = requestedRange(about.headers, size, validators)
  if (range === 'unsatisfiable') {
    throw new AppError('RANGE_NOT_SATISFIABLE', `the file has ${size} bytes: ${file.given}`, {
      headers: { 'content-range': `bytes */${size}` },
    })
  }
  const common = {
    'content-type': 'application/octet-stream',
    'content-disposition': contentDisposition(about.name),
    'accept-ranges': 'bytes',
    ...validators,
  }
  const close = () => file.handle.close()
  if (range !== undefined) {
    const length = range.end - range.start + 1
    const contentRange = `bytes ${range.start}-${range.end}/${size}`
    return new StreamReply({
      status: 206,
      headers: { ...common, 'content-range': contentRange, 'content-length': String(length) },
      body: readExactly(file, { start: range.start, length }),
      close,
    })
  }
  if (size === 0) return new StreamReply({ status: 200, headers: common, body: readToEnd(file), close })
  return new StreamReply({
    status: 200,
    headers: { ...common, 'content-length': String(size) },
    body: readExactly(file, { start: 0, length: size }),
    close,
  })
}

function entityTag(stats: BigIntStats): string {
  return `"${stats.ino.toString(16)}-${stats.size.toString(16)}-${stats.mtimeNs.toString(16)}"`
}

function requestedRange(
  headers: Headers,
  size: number,
  validators: { etag: string; 'last-modified': string },
): ByteRange | 'unsatisfiable' | undefined {
  const { range } = headers
  if (typeof range !== 'string') return undefined
  const ifRange = headers['if-range']
  if (ifRange !== undefined && ifRange !== validators.etag && ifRange !== validators['last-modified']) return undefined
  return parseRange(range, size)
}
