import type { Readable, Writable } from 'node:stream'
import { AppError } from '@atoll/protocol'
import Busboy from '@fastify/busboy'

/** Header lines of one part; the next number bounds the bytes of all of them together. */
const MAX_PART_HEADERS = 32
const MAX_PART_HEADER_BYTES = 16 * 1024
/** Bytes of the file held between parser and disk. */
const FILE_BUFFER_BYTES = 256 * 1024

/** The limits of a form; a field that is not a file is text. */
export interface FormShape {
  isFile(fieldName: string): boolean
  readonly maxFiles: number
  readonly maxParts: number
  /** Bytes kept of a text field. */
  readonly maxFieldBytes: number
}

export interface MultipartParser {
  readonly sink: Writable
  /** Called for each file of the shape, in order; its content must be read to its end or destroyed. */
  onFile(listener: (content: Readable, fieldName: string) => void): void
  /** Called for each text field, before the files that follow it. */
  onField(listener: (fieldName: string, text: string, isWhole: boolean) => void): void
  /** Returns the error to show the caller for an error of `sink`. */
  translate(error: unknown): unknown
}

/** Makes a parser. Throws BAD_REQUEST when the content type is not multipart/form-data with a boundary. */
export function createMultipartParser(contentType: string | string[] | undefined, shape: FormShape): MultipartParser {
  if (typeof contentType !== 'string' || !/^\s*multipart\/form-data\s*;/i.test(contentType)) {
    throw new AppError('BAD_REQUEST', 'the body must be multipart/form-data')
  }
  const parser = open(contentType.trim(), shape)
  // Failures of the form itself; any other error that ends the pipeline comes from the connection.
  const formErrors = new Set<unknown>()
  parser.on('error', (error: unknown) => formErrors.add(error))
  return {
    sink: parser,
    onFile(listener) {
      parser.on('file', (fieldName, content) => {
        // A cut form fails this stream as well as the parser, which reports it.
        content.on('error', () => {})
        listener(content, fieldName)
      })
    },
    onField(listener) {
      parser.on('field', (fieldName, text, ...[isNameCut, isTextCut]) => {
        listener(fieldName, text, !isNameCut && !isTextCut)
      })
    },
    translate: (error) =>
      formErrors.has(error) && !(error instanceof AppError)
        ? new AppError('BAD_REQUEST', 'the form is malformed or cut short', { cause: error })
        : error,
  }
}

function open(contentType: string, shape: FormShape) {
  try {
    return new Busboy({
      headers: { 'content-type': contentType },
      isPartAFile: (fieldName) => fieldName !== undefined && shape.isFile(fieldName),
      fileHwm: FILE_BUFFER_BYTES,
      limits: {
        files: shape.maxFiles,
        fields: shape.maxParts,
        parts: shape.maxParts,
        fieldSize: shape.maxFieldBytes,
        headerPairs: MAX_PART_HEADERS,
        headerSize: MAX_PART_HEADER_BYTES,
      },
    })
  } catch (cause) {
    throw new AppError('BAD_REQUEST', 'the content type of the form has no usable boundary', { cause })
  }
}
