import type { Readable, Writable } from 'node:stream'
import { AppError } from '@atoll/protocol'
import Busboy from '@fastify/busboy'

/** Parts of one form; the one that counts is `file`. */
const MAX_PARTS = 16
/** Header lines of one part, and bytes of all of them together. */
const MAX_PART_HEADERS = 32
const MAX_PART_HEADER_BYTES = 16 * 1024
/** Bytes kept of a field other than `file`, all of which are ignored. */
const MAX_FIELD_BYTES = 1024
/** Bytes of the file held between parser and disk. */
const FILE_BUFFER_BYTES = 256 * 1024

/** The one field that is read. */
const FILE_FIELD = 'file'

export interface MultipartParser {
  readonly sink: Writable
  /** Called for the first part named `file`, whose content must be read to its end or destroyed. */
  onFile(listener: (content: Readable) => void): void
  /** What an error of `sink` means to the caller. */
  translate(error: unknown): unknown
}

/** Throws BAD_REQUEST when the content type is not multipart/form-data with a boundary. */
export function createMultipartParser(contentType: string | string[] | undefined): MultipartParser {
  if (typeof contentType !== 'string' || !/^\s*multipart\/form-data\s*;/i.test(contentType)) {
    throw new AppError('BAD_REQUEST', 'the body must be multipart/form-data')
  }
  const parser = open(contentType.trim())
  // Failures of the form itself; anything else that ends the pipeline comes from the connection.
  const formErrors = new Set<unknown>()
  parser.on('error', (error: unknown) => formErrors.add(error))
  return {
    sink: parser,
    onFile(listener) {
      parser.on('file', (_name, content) => {
        // A cut form fails this stream as well as the parser, which reports it.
        content.on('error', () => {})
        listener(content)
      })
    },
    translate: (error) =>
      formErrors.has(error) && !(error instanceof AppError)
        ? new AppError('BAD_REQUEST', 'the form is malformed or cut short', { cause: error })
        : error,
  }
}

function open(contentType: string) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      isPartAFile: (fieldName) => fieldName === FILE_FIELD,
      fileHwm: FILE_BUFFER_BYTES,
      limits: {
        files: 1,
        fields: MAX_PARTS,
        parts: MAX_PARTS,
        fieldSize: MAX_FIELD_BYTES,
        headerPairs: MAX_PART_HEADERS,
        headerSize: MAX_PART_HEADER_BYTES,
      },
    })
  } catch (cause) {
    throw new AppError('BAD_REQUEST', 'the content type of the form has no usable boundary', { cause })
  }
}
