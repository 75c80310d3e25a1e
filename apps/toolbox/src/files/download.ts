import type { BigIntStats } from 'node:fs'
import { constants } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { open } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Headers } from '@atoll/tunnel'
import type { Handler } from '../call.ts'
import { ErrorWithHeaders, StreamReply } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import type { ByteRange } from './byte-range.ts'
import { parseRange } from './byte-range.ts'
import { contentDisposition } from './content-disposition.ts'
import { baseName } from './file-info.ts'
import { fsError } from './fs-error.ts'

/** Read at a time; with the tunnel's window, all that a download holds in memory. */
const READ_BYTES = 64 * 1024

/** Streams one regular file; one `Range` is honoured. Folders, pipes, sockets and devices are refused, never waited on. */
export function createDownload(work: WorkDirectory): Handler<ToolboxOperations['downloadFile']> {
  return async ({ queryBytes, headers }) => {
    const given = queryBytes('path')
    const path = work.resolve(given)
    let file: FileHandle | undefined
    try {
      // O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
      file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
      return await reply({ file, name: await baseName(path), given, headers })
    } catch (error) {
      await file?.close()
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
  }
}

async function reply(about: { file: FileHandle; name: string; given: Buffer; headers: Headers }): Promise<StreamReply> {
  const { file, given } = about
  const stats = await file.stat({ bigint: true })
  if (stats.isDirectory()) throw new AppError('INVALID_FILE_PATH', `is a directory: ${given}`)
  if (!stats.isFile()) throw new AppError('INVALID_FILE_PATH', `not a regular file: ${given}`)
  const size = Number(stats.size)
  const validators = { etag: entityTag(stats), 'last-modified': stats.mtime.toUTCString() }
  const range = requestedRange(about.headers, size, validators)
  if (range === 'unsatisfiable') {
    throw new ErrorWithHeaders('RANGE_NOT_SATISFIABLE', `the file has ${size} bytes: ${given}`, {
      'content-range': `bytes */${size}`,
    })
  }
  const common = {
    'content-type': 'application/octet-stream',
    'content-disposition': contentDisposition(about.name),
    'accept-ranges': 'bytes',
    ...validators,
  }
  const close = () => file.close()
  if (range !== undefined) {
    const length = range.end - range.start + 1
    return new StreamReply({
      status: 206,
      headers: {
        ...common,
        'content-range': `bytes ${range.start}-${range.end}/${size}`,
        'content-length': String(length),
      },
      body: readExactly({ file, start: range.start, length, given }),
      close,
    })
  }
  // Files under /proc say 0 and hold something: those are read to their end, whatever their length.
  if (size === 0) {
    return new StreamReply({ status: 200, headers: common, body: readToEnd(file, given), close })
  }
  return new StreamReply({
    status: 200,
    headers: { ...common, 'content-length': String(size) },
    body: readExactly({ file, start: 0, length: size, given }),
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

async function* readExactly(options: {
  file: FileHandle
  start: number
  length: number
  given: Buffer
}): AsyncGenerator<Buffer> {
  let position = options.start
  const end = options.start + options.length
  while (position < end) {
    const chunk = await readChunk(options, position, Math.min(READ_BYTES, end - position))
    // The length is announced already: breaking off is the only way to say that the file shrank.
    if (chunk.length === 0)
      throw new AppError('FILE_READ_FAILED', `the file shrank while it was read: ${options.given}`)
    position += chunk.length
    yield chunk
  }
}

async function* readToEnd(file: FileHandle, given: Buffer): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    const chunk = await readChunk({ file, given }, position, READ_BYTES)
    if (chunk.length === 0) return
    position += chunk.length
    yield chunk
  }
}

async function readChunk(
  { file, given }: { file: FileHandle; given: Buffer },
  position: number,
  length: number,
): Promise<Buffer> {
  try {
    const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(length), 0, length, position)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    throw fsError(error, given, 'FILE_READ_FAILED')
  }
}
