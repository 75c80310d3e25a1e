import type { IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { AwsChunks } from './aws-chunks.ts'
import { createBodyChecksums, isChecksum } from './body-checksums.ts'
import type { ClaimedSignature, RequestSigner } from './request-signature.ts'
import { S3Error } from './s3-error.ts'

/** Longest time without a byte. */
const IDLE_MS = 60_000
/** Longest time for one body. Stays below the age at which what is being written counts as left behind. */
export const MAX_BODY_MS = 12 * 60 * 60 * 1000

const SIGNED_CHUNKS = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD'
const SIGNED_CHUNKS_WITH_TRAILER = 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER'
const UNSIGNED_CHUNKS_WITH_TRAILER = 'STREAMING-UNSIGNED-PAYLOAD-TRAILER'
const UNSIGNED = 'UNSIGNED-PAYLOAD'
const DIGEST = /^[0-9a-f]{64}$/

/** What an authenticated request brings. */
export interface S3Body {
  /** The bytes of the object: of what clients wrap around them it checks all, and fails at its end when it is wrong. */
  readonly stream: Readable
  /** Bytes of `stream`. */
  readonly size: number
}

/**
 * Takes a request's body. Throws MissingContentLength, InvalidRequest and NotImplemented; the stream throws what the
 * checks do, and RequestTimeout when the client stops sending.
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

/** The raw body, which fails when it stands still or ends early. */
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
    // That the client has gone is no fault of ours.
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
