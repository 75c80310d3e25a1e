import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createAwsSigner } from '../../testing/s3-client.ts'
import { AwsChunks } from './aws-chunks.ts'
import { createRequestSigner } from './request-signature.ts'

const SECRET = 'secret'
const DATE = new Date('2026-11-27T12:00:00Z')
const SCOPE = '20261127/us-east-1/s3/aws4_request'
const FIRST = 'f'.repeat(64)
const ourSigner = createRequestSigner(
  {
    ...{ accessKey: 'AKID', date: '20261127T120000Z', scope: SCOPE, signedHeaders: [] },
    ...{ signature: FIRST, payloadHash: '' },
  },
  SECRET,
)

const sha256 = (content: string | Buffer) => createHash('sha256').update(content).digest('hex')

/** Returns the signature that AWS's own client makes. */
async function theirSignature(kind: 'PAYLOAD' | 'TRAILER', ...lines: string[]): Promise<string> {
  const text = [`AWS4-HMAC-SHA256-${kind}`, '20261127T120000Z', SCOPE, ...lines].join('\n')
  return await createAwsSigner({ accessKey: 'AKID', secret: SECRET }).sign(text, { signingDate: DATE })
}

async function signedBody(chunks: readonly string[], trailers: readonly string[]): Promise<Buffer> {
  let previous = FIRST
  const pieces: Buffer[] = []
  for (const chunk of [...chunks, '']) {
    const content = Buffer.from(chunk)
    previous = await theirSignature('PAYLOAD', previous, sha256(''), sha256(content))
    pieces.push(Buffer.from(`${content.length.toString(16)};chunk-signature=${previous}\r\n`))
    if (content.length > 0) pieces.push(content, Buffer.from('\r\n'))
  }
  if (trailers.length > 0) {
    const signature = await theirSignature('TRAILER', previous, sha256(trailers.map((line) => `${line}\n`).join('')))
    pieces.push(Buffer.from([...trailers, `x-amz-trailer-signature:${signature}`, ''].join('\r\n')))
  }
  return Buffer.concat([...pieces, Buffer.from('\r\n')])
}

function unsignedBody(chunks: readonly string[], trailers: readonly string[]): Buffer {
  const pieces = chunks.map((chunk) => `${Buffer.byteLength(chunk).toString(16)}\r\n${chunk}\r\n`)
  return Buffer.from([...pieces, '0\r\n', ...trailers.map((line) => `${line}\r\n`), '\r\n'].join(''))
}

interface Sent {
  body: Buffer
  decodedLength: number
  signed: boolean
  /** The number of bytes that arrive at once. */
  pieceBytes?: number
}

async function decode({ body, decodedLength, signed, pieceBytes = body.length }: Sent) {
  const signer = signed ? ourSigner : undefined
  const chunks = new AwsChunks({ signer, firstSignature: FIRST, decodedLength, hasTrailers: false })
  return await collect(chunks, body, pieceBytes)
}

async function collect(chunks: AwsChunks, body: Buffer, pieceBytes: number) {
  const pieces: Buffer[] = []
  for (let at = 0; at < body.length; at += Math.max(pieceBytes, 1)) pieces.push(body.subarray(at, at + pieceBytes))
  const decoded: Buffer[] = []
  const source = (async function* () {
    yield* pieces
  })()
  for await (const piece of chunks.decode(source)) decoded.push(piece)
  return { text: Buffer.concat(decoded).toString('utf8'), trailers: Object.fromEntries(chunks.trailers) }
}

const contents = fc.array(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 }), { maxLength: 5 })

describe('an aws-chunked body', () => {
  it('is read whole, however it is cut, with and without signatures', async () => {
    await fc.assert(
      fc.asyncProperty(contents, fc.integer({ min: 1, max: 200 }), async (chunks, pieceBytes) => {
        const text = chunks.join('')
        const decodedLength = Buffer.byteLength(text)
        const unsigned = { body: unsignedBody(chunks, ['x-amz-checksum-crc32:AAAAAA==']), signed: false }
        expect(await decode({ ...unsigned, decodedLength, pieceBytes })).toEqual({
          text,
          trailers: { 'x-amz-checksum-crc32': 'AAAAAA==' },
        })
        const signed = { body: await signedBody(chunks, []), signed: true }
        expect(await decode({ ...signed, decodedLength, pieceBytes })).toEqual({ text, trailers: {} })
      }),
      { numRuns: 60 },
    )
  })

  it('is refused when any byte of a signed one was changed', async () => {
    const body = await signedBody(['hello', 'world'], [])
    for (let at = 0; at < body.length; at++) {
      const changed = Buffer.from(body)
      changed.writeUInt8(changed.readUInt8(at) ^ 0x01, at)
      const outcome = decode({ body: changed, decodedLength: 10, signed: true }).then(
        ({ text }) => text,
        () => 'refused',
      )
      // Only the line ends are not signed.
      expect(['refused', ...(changed[at] === 0x0c ? ['helloworld'] : [])]).toContain(await outcome)
    }
  })

  it('is refused when it was cut anywhere', async () => {
    const bodies = [
      { body: await signedBody(['hello', 'world'], []), signed: true },
      { body: unsignedBody(['hello', 'world'], []), signed: false },
    ]
    for (const { body, signed } of bodies) {
      // The two bytes behind the last chunk's line may be cut without loss.
      const needed = body.length - 2
      for (let length = 0; length < needed; length++) {
        const cut = { body: body.subarray(0, length), decodedLength: 10, signed }
        await expect(decode(cut)).rejects.toMatchObject({ name: 'S3Error' })
      }
    }
  })

  it('has signed trailers, which are refused when they were changed or are missing', async () => {
    const hasTrailers = { signer: ourSigner, firstSignature: FIRST, decodedLength: 5, hasTrailers: true }
    const body = await signedBody(['hello'], ['x-amz-checksum-crc32c:wdBDMA=='])
    const { trailers } = await collect(new AwsChunks(hasTrailers), body, 7)
    expect(trailers['x-amz-checksum-crc32c']).toBe('wdBDMA==')
    const changed = Buffer.from(String(body).replace('wdBDMA==', 'wdBDMB=='))
    const mismatch = { code: 'SignatureDoesNotMatch' }
    await expect(collect(new AwsChunks(hasTrailers), changed, 7)).rejects.toMatchObject(mismatch)
    const without = await signedBody(['hello'], [])
    await expect(collect(new AwsChunks(hasTrailers), without, 7)).rejects.toMatchObject(mismatch)
  })

  it.each([
    ['no size', 'hello\r\n'],
    ['a size that is too large', 'ffffffff\r\n'],
    ['more than announced', '6\r\nhello!\r\n0\r\n\r\n'],
    ['less than announced', '4\r\nhell\r\n0\r\n\r\n'],
    ['a chunk longer than it says', '4\r\nhello\r\n0\r\n\r\n'],
    ['a line without end', 'x'.repeat(2_000)],
    ['something behind its end', '5\r\nhello\r\n0\r\n\r\nmore'],
    ['a trailer that is none', '5\r\nhello\r\n0\r\nno colon\r\n\r\n'],
    ['trailers without end', `5\r\nhello\r\n0\r\n${'a:b\r\n'.repeat(1_000)}`],
    ['a signature that nobody asked for', `5;chunk-signature=${FIRST}\r\nhello\r\n0\r\n\r\n`],
    ['nothing', ''],
  ])('is refused with %s', async (_what, text) => {
    const body = Buffer.from(text)
    await expect(decode({ body, decodedLength: 5, signed: false })).rejects.toMatchObject({ name: 'S3Error' })
  })
})
