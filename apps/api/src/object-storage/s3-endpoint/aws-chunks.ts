import { createHash } from 'node:crypto'
import type { RequestSigner } from './request-signature.ts'
import { isSameSignature } from './request-signature.ts'
import { S3Error } from './s3-error.ts'

/** The longest line before a chunk or in a trailer. */
const MAX_LINE_BYTES = 1_024
const MAX_TRAILERS = 8
/** The largest chunk; clients send between 8 KiB and some MiB. */
const MAX_CHUNK_BYTES = 64 * 1024 * 1024
const CHUNK_LINE = /^([0-9a-fA-F]{1,8})(?:;chunk-signature=([0-9a-f]{64}))?$/
const TRAILER_LINE = /^([A-Za-z0-9-]{1,128}):(.*)$/
const TRAILER_SIGNATURE = 'x-amz-trailer-signature'

export interface AwsChunksOptions {
  /** Checks the signatures of chunks and trailers; undefined where they have none. */
  signer: RequestSigner | undefined
  /** The signature of the request, which starts the chain. */
  firstSignature: string
  /** The bytes of all chunks, from `x-amz-decoded-content-length`. */
  decodedLength: number
  hasTrailers: boolean
}

type Expecting = 'chunk line' | 'data' | 'end of data' | 'trailer' | 'nothing'

/**
 * Unpacks the chunks of an aws-chunked body while it arrives. `trailers` is filled when the end has been read. Throws
 * IncompleteBody, InvalidRequest and SignatureDoesNotMatch; bytes passed on before an error must not be kept.
 */
export class AwsChunks {
  readonly trailers = new Map<string, string>()
  private readonly options: AwsChunksOptions
  private expecting: Expecting = 'chunk line'
  private line: Buffer = Buffer.alloc(0)
  private left = 0
  private decoded = 0
  private hash = createHash('sha256')
  private claimed = ''
  private previous: string
  private trailerText = ''

  constructor(options: AwsChunksOptions) {
    this.options = options
    this.previous = options.firstSignature
  }

  async *decode(source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const piece of source) {
      let rest = piece
      while (rest.length > 0) {
        if (this.expecting === 'data') {
          const data = rest.subarray(0, this.left)
          this.takeData(data)
          yield data
          rest = rest.subarray(data.length)
        } else {
          rest = this.takeLine(rest)
        }
      }
    }
    this.finish()
  }

  private takeData(data: Buffer): void {
    this.left -= data.length
    if (this.options.signer !== undefined) this.hash.update(data)
    if (this.left === 0) this.expecting = 'end of data'
  }

  /** Takes bytes up to the end of a line; returns the bytes behind it when the line is complete. */
  private takeLine(piece: Buffer): Buffer {
    if (this.expecting === 'nothing') throw malformed('There is something behind the end of the body')
    const end = piece.indexOf('\n')
    const part = end === -1 ? piece : piece.subarray(0, end + 1)
    if (this.line.length + part.length > MAX_LINE_BYTES) throw malformed('A line between chunks is too long')
    this.line = Buffer.concat([this.line, part])
    if (end === -1) return Buffer.alloc(0)
    const text = this.line.toString('latin1').replace(/\r?\n$/, '')
    this.line = Buffer.alloc(0)
    this.read(text)
    return piece.subarray(end + 1)
  }

  private read(text: string): void {
    switch (this.expecting) {
      case 'chunk line':
        this.beginChunk(text)
        break
      case 'end of data':
        if (text !== '') throw malformed('A chunk is longer than it says')
        this.endChunk()
        this.expecting = 'chunk line'
        break
      case 'trailer':
        this.takeTrailer(text)
        break
      case 'data':
      case 'nothing':
        break
    }
  }

  private beginChunk(text: string): void {
    const match = CHUNK_LINE.exec(text)
    if (match === null) throw malformed('A chunk does not begin with its size')
    const [, size = '', signature = ''] = match
    if ((signature === '') === (this.options.signer !== undefined)) {
      throw new S3Error('SignatureDoesNotMatch', 'A chunk is signed where it must not be, or the other way round')
    }
    this.claimed = signature
    this.left = Number.parseInt(size, 16)
    this.decoded += this.left
    if (this.left > MAX_CHUNK_BYTES) throw malformed(`A chunk is larger than ${MAX_CHUNK_BYTES} bytes`)
    if (this.decoded > this.options.decodedLength) throw incomplete()
    if (this.left > 0) {
      this.expecting = 'data'
      return
    }
    this.endChunk()
    this.expecting = 'trailer'
  }

  private endChunk(): void {
    const { signer } = this.options
    if (signer === undefined) return
    const expected = signer.chunkSignature(this.previous, this.hash.digest('hex'))
    if (!isSameSignature(expected, this.claimed))
      throw new S3Error('SignatureDoesNotMatch', 'The signature of a chunk does not match')
    this.previous = expected
    this.hash = createHash('sha256')
  }

  private takeTrailer(text: string): void {
    if (text === '') {
      this.expecting = 'nothing'
      return
    }
    const match = TRAILER_LINE.exec(text)
    if (match === null || this.trailers.size >= MAX_TRAILERS) throw malformed('The trailers are not valid')
    const name = (match[1] ?? '').toLowerCase()
    if (this.trailers.has(name)) throw malformed(`There are two trailers ${name}`)
    const value = (match[2] ?? '').trim()
    if (name !== TRAILER_SIGNATURE) this.trailerText += `${name}:${value}\n`
    this.trailers.set(name, value)
  }

  private finish(): void {
    const isAtEnd = this.expecting === 'nothing' || (this.expecting === 'trailer' && this.line.length === 0)
    if (!isAtEnd || this.decoded !== this.options.decodedLength) throw incomplete()
    const { signer, hasTrailers } = this.options
    if (signer === undefined || !hasTrailers) return
    const expected = signer.trailerSignature(this.previous, createHash('sha256').update(this.trailerText).digest('hex'))
    if (!isSameSignature(expected, this.trailers.get(TRAILER_SIGNATURE) ?? '')) {
      throw new S3Error('SignatureDoesNotMatch', 'The signature of the trailers does not match')
    }
  }
}

function malformed(message: string): S3Error {
  return new S3Error('InvalidRequest', message)
}

function incomplete(): S3Error {
  return new S3Error('IncompleteBody', 'The body is not as long as x-amz-decoded-content-length says')
}
