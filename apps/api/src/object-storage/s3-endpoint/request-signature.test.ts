import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { createAwsSigner } from '../../testing/s3-client.ts'
import type { SignedRequest } from './request-signature.ts'
import { createRequestSigner, MAX_CLOCK_SKEW_MS, readClaim } from './request-signature.ts'

const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const NOW = Date.parse('2026-11-27T12:00:00Z')

function verify(request: SignedRequest, secret = SECRET): boolean {
  const claim = readClaim(request, NOW)
  return createRequestSigner(claim, secret).isSignatureOf(request)
}

/** Signs with AWS's own client. */
async function signed(options: {
  method: string
  path: string
  query: Record<string, string>
  headers: Record<string, string>
}): Promise<SignedRequest> {
  const { method, path, query, headers } = options
  const request = await createAwsSigner({ accessKey: 'AKID', secret: SECRET }).sign(
    {
      ...{ method, protocol: 'http:', hostname: 'localhost', path, query },
      headers: { ...headers, host: 'localhost:3000', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
    },
    { signingDate: new Date(NOW) },
  )
  const search = Object.entries(query).map(
    ([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`,
  )
  return { method, url: path + (search.length === 0 ? '' : `?${search.join('&')}`), headers: request.headers }
}

const requests = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'POST', 'DELETE', 'HEAD'),
  path: fc
    .array(fc.string({ unit: 'grapheme', maxLength: 8 }), { minLength: 1, maxLength: 4 })
    .map((parts) => `/api/s3/atoll/${parts.map(encodeURIComponent).join('/')}`),
  query: fc.dictionary(
    fc.constantFrom('prefix', 'list-type', 'delimiter', 'uploads', "o'dd (name)*!"),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
  ),
  headers: fc.dictionary(
    fc.constantFrom('x-amz-meta-a', 'x-amz-acl', 'content-type'),
    fc.stringMatching(/^[!-~]([ -~]{0,10}[!-~])?$/),
  ),
})

describe('a signature', () => {
  it.each(['constructor', '__proto__', 'tostring'])('of a header %s that is not there is wrong', async (name) => {
    const { headers, ...request } = await signed({ method: 'GET', path: '/', query: {}, headers: {} })
    const authorization = String(headers['authorization']).replace('SignedHeaders=', `SignedHeaders=${name};`)
    expect(verify({ ...request, headers: { ...headers, authorization } })).toBe(false)
  })

  it('is accepted as AWS`s own client makes it, whatever is signed', async () => {
    await fc.assert(
      fc.asyncProperty(requests, async (request) => {
        expect(verify(await signed(request))).toBe(true)
      }),
      { numRuns: 300 },
    )
  })

  it('is refused when anything that was signed is another', async () => {
    const request = await signed({
      ...{ method: 'PUT', path: '/api/s3/atoll/a/b', query: { prefix: 'x', delimiter: '' } },
      headers: { 'x-amz-meta-a': 'b', 'content-type': 'text/plain' },
    })
    expect(verify(request)).toBe(true)
    const { headers, url } = request
    const changed: SignedRequest[] = [
      { ...request, method: 'DELETE' },
      ...['/a/c?', '/a/b/?', '//a/b?', '/a%2Fb?', '/a/b?prefix=y&', '/a/b?x&'].map((path) => ({
        ...request,
        url: url.replace('/a/b?', path),
      })),
      ...['host', 'x-amz-meta-a', 'content-type', 'x-amz-content-sha256'].map((name) => ({
        ...request,
        headers: { ...headers, [name]: `${headers[name]}x` },
      })),
      { ...request, headers: { ...headers, 'x-amz-date': '20261127T120001Z' } },
    ]
    for (const other of changed) expect(verify(other)).toBe(false)
    expect(verify(request, `${SECRET}x`)).toBe(false)
  })

  it('is refused when the clocks are too far apart, on either side', async () => {
    const request = await signed({ method: 'GET', path: '/', query: {}, headers: {} })
    for (const skew of [-MAX_CLOCK_SKEW_MS, MAX_CLOCK_SKEW_MS]) {
      expect(readClaim(request, NOW + skew).accessKey).toBe('AKID')
      const beyond = NOW + skew + Math.sign(skew)
      expect(() => readClaim(request, beyond)).toThrow(expect.objectContaining({ code: 'RequestTimeTooSkewed' }))
    }
  })

  it.each([
    ['no Authorization header', { authorization: undefined }],
    ['another algorithm', { authorization: 'AWS4-HMAC-SHA1 Credential=x' }],
    ['a bearer', { authorization: 'Bearer dtn_0' }],
    ['a date that is none', { 'x-amz-date': '20261399T120000Z' }],
    ['no date', { 'x-amz-date': undefined }],
    ['a header that is not signed', { 'x-amz-meta-new': 'x' }],
  ])('is not looked at with %s', async (_what, change) => {
    const request = await signed({ method: 'GET', path: '/', query: {}, headers: {} })
    const headers: SignedRequest['headers'] = { ...request.headers, ...change }
    expect(() => readClaim({ ...request, headers }, NOW)).toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(AccessDenied|RequestTimeTooSkewed)$/) }),
    )
  })
})

describe('the example of AWS`s documentation', () => {
  const headers = {
    authorization:
      'AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
    host: 's3.amazonaws.com',
    'x-amz-date': '20130524T000000Z',
    'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    'content-encoding': 'aws-chunked',
    'x-amz-decoded-content-length': '66560',
    'content-length': '66824',
  }

  it('has these signatures, of the request and of each chunk', () => {
    const request = { method: 'PUT', url: '/examplebucket/chunkObject.txt', headers }
    const claim = readClaim(request, Date.parse('2013-05-24T00:00:00Z'))
    const signer = createRequestSigner(claim, SECRET)
    expect(signer.isSignatureOf(request)).toBe(true)
    const sha256 = (bytes: number) => createHash('sha256').update('a'.repeat(bytes)).digest('hex')
    const first = signer.chunkSignature(claim.signature, sha256(65_536))
    const second = signer.chunkSignature(first, sha256(1_024))
    expect([first, second, signer.chunkSignature(second, sha256(0))]).toEqual([
      'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ])
  })
})
