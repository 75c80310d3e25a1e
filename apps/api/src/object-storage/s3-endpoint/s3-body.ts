import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { AwsChunks } from './aws-chunks.ts'
import { createBodyChecksums, isChecksum } from './body-checksums.ts'
import type { ClaimedSignature, RequestSigner } from './request-signature.ts'
import { S3Error } from './s3-error.ts'

/** The longest time without a byte. */
const IDLE_MS = 60_000
/** The longest time for one body: less than the age at which an unfinished file counts as abandoned. */
const MAX_BODY_MS = 12 * 60 * 60 * 1000

const SIGNED_CHUNKS = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const SIGNED_CHUNKS_WITH_TRAILER = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
const UNSIGNED_CHUNKS_WITH_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
const UNSIGNED = 'UNSIGNED-PAYLOAD'
const DIGEST = /^[0-9a-f]{64}$/

/** The body of an authenticated request. */
export interface S3Body {
  /** The bytes of the object, without the client's framing. The framing is checked; a wrong body fails at its end. */
  readonly stream: Readable
  /** The number of bytes in `stream`. */
  readonly size: number
}

/**
 * Opens a request's body. Throws MissingContentLength, InvalidRequest and NotImplemented. The stream throws the errors
 * of the checks, and RequestTimeout when the client stops sending.
 */
export function openBody(request: IncomingMessage, claim: ClaimedSignature, signer: RequestSigner): S3Body {
  const { payloadHash } = claim
  const values = new Map<string, string>()
  for (const [name, value] of Object.entries(request.headers)) {
    if (isChecksum(name) && typeof value === 'string') values.set(name, value)
    else if (isUnknownChecksum(name)) throw new S3Error('NotImplemented', `The checksum ${name} is not known here`)
  }
  const trailing = header(request, 'x-amz-trailer')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean)
  const checksums = createBodyChecksums({ values, trailing, payloadHash })
  const source = watch(request)
  if (payloadHash === UNSIGNED || DIGEST.test(payloadHash)) {
    const size = length(request, 'content-length')
    return { size, stream: Readable.from(check(source, checksums, new Map()), { objectMode: false }) }
  }
  if (![SIGNED_CHUNKS, SIGNED_CHUNKS_WITH_TRAILER, UNSIGNED_CHUNKS_WITH_TRAILER].includes(payloadHash)) {
    throw new S3Error('NotImplemented', `Bodies of the kind ${payloadHash.slice(0, 64)} are not taken`)
  }
  const size = length(request, 'x-amz-decoded-content-length')
  const chunks = new AwsChunks({
    signer: payloadHash === UNSIGNED_CHUNKS_WITH_TRAILER ? undefined : signer,
    firstSignature: claim.signature,
    decodedLength: size,
    hasTrailers: payloadHash === SIGNED_CHUNKS_WITH_TRAILER,
  })
  const stream = Readable.from(check(chunks.decode(source), checksums, chunks.trailers), { objectMode: false })
  return { size, stream }
}

async function* check(
  source: AsyncIterable<Buffer>,
  checksums: ReturnType<typeof createBodyChecksums>,
  trailers: ReadonlyMap<string, string>,
): AsyncGenerator<Buffer> {
  for await (const chunk of source) {
    checksums.update(chunk)
    yield chunk
  }
  await checksums.verify(trailers)
}

/** Yields the raw body; throws when no byte arrives for too long or the body ends early. */
async function* watch(request: IncomingMessage): AsyncGenerator<Buffer> {
  const giveUp = () => request.destroy(new S3Error('RequestTimeout', 'The body stood still for too long'))
  let idle = setTimeout(giveUp, IDLE_MS)
  const whole = setTimeout(giveUp, MAX_BODY_MS)
  try {
    for await (const chunk of request.iterator({ destroyOnReturn: false })) {
      clearTimeout(idle)
      yield chunk
      idle = setTimeout(giveUp, IDLE_MS)
    }
    if (!request.complete) throw endedEarly()
  } catch (error) {
    // A client that disconnected is no fault of the server.
    if (error instanceof Error && 'code' in error && error.code === 'ECONNRESET') throw endedEarly(error)
    throw error
  } finally {
    clearTimeout(idle)
    clearTimeout(whole)
  }
}

function endedEarly(cause?: unknown): S3Error {
  return new S3Error('IncompleteBody', 'The body ended early', { cause })
}

function isUnknownChecksum(name: string): boolean {
  return /^x-amz-checksum-(?!type$|algorithm$|mode$)/.test(name) && !isChecksum(name)
}

function length(request: IncomingMessage, name: string): number {
  const text = header(request, name)
  const value = Number(text)
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value)) {
    throw new S3Error('MissingContentLength', `The header ${name} must say how long the body is`)
  }
  return value
}

function header(request: IncomingMessage, name: string): string {
  const value = request.headers[name]
  return typeof value === 'string' ? value : ''
}
