import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import { S3Error } from './s3-error.ts'

/** The largest difference between a client's clock and ours. */
export const MAX_CLOCK_SKEW_MS = 15 * 60 * 1000

const ALGORITHM = 'AWS4-HMAC-SHA256'
const AUTHORIZATION =
  /^AWS4-HMAC-SHA256 +Credential=([\w-]{1,128})\/(\d{8})\/([\w-]{1,64})\/s3\/aws4_request *, *SignedHeaders=([\w.;-]{1,4096}) *, *Signature=([0-9a-f]{64})$/
const AMZ_DATE = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/

/** A request in the form that was signed. */
export interface SignedRequest {
  method: string
  /** As sent, with the path still encoded. */
  url: string
  /** By names in lower case. */
  headers: Readonly<Record<string, string | string[] | undefined>>
}

/** The content of an `Authorization` header of signature version 4. */
export interface ClaimedSignature {
  accessKey: string
  /** As in `20261127T120000Z`. */
  date: string
  /** As in `20261127/us-east-1/s3/aws4_request`. */
  scope: string
  signedHeaders: readonly string[]
  /** The signature in hexadecimal. */
  signature: string
  /** The value of `x-amz-content-sha256`. */
  payloadHash: string
}

/** Reads the signature that a request claims. Throws AccessDenied, and RequestTimeTooSkewed for a time too far from `now`. */
export function readClaim({ headers }: SignedRequest, now: number): ClaimedSignature {
  const match = AUTHORIZATION.exec(single(headers['authorization']) ?? '')
  if (match === null) {
    throw new S3Error('AccessDenied', 'Requests must be signed with signature version 4 in the Authorization header')
  }
  const [, accessKey = '', day = '', region = '', names = '', signature = ''] = match
  const date = single(headers['x-amz-date']) ?? ''
  const payloadHash = single(headers['x-amz-content-sha256'])
  if (payloadHash === undefined) throw new S3Error('InvalidRequest', 'The header x-amz-content-sha256 is missing')
  checkTime(date, day, now)
  const signedHeaders = names.split(';')
  checkSigned(headers, new Set(signedHeaders))
  return { accessKey, date, scope: `${day}/${region}/s3/aws4_request`, signedHeaders, signature, payloadHash }
}

function checkTime(date: string, day: string, now: number): void {
  const match = AMZ_DATE.exec(date)
  if (match === null || !date.startsWith(day)) throw new S3Error('AccessDenied', 'The header x-amz-date is not valid')
  const [, year, month, dayOfMonth, hour, minute, second] = match
  const time = Date.parse(`${year}-${month}-${dayOfMonth}T${hour}:${minute}:${second}Z`)
  // False for an invalid date, whose time is NaN.
  if (Math.abs(time - now) <= MAX_CLOCK_SKEW_MS) return
  throw new S3Error('RequestTimeTooSkewed', 'The time of the request and that of the server are too far apart')
}

/** Throws AccessDenied for unsigned headers that change the meaning of a request: a proxy on the way could change them. */
function checkSigned(headers: SignedRequest['headers'], signed: ReadonlySet<string>): void {
  const unsigned = Object.keys(headers).filter((name) => name.startsWith('x-amz-') && !signed.has(name))
  if (!signed.has('host')) unsigned.unshift('host')
  if (unsigned.length > 0) throw new S3Error('AccessDenied', `Headers are not signed: ${unsigned.join(', ')}`)
}

/** Computes signatures with one secret, as the client must have done. */
export interface RequestSigner {
  /** Whether the claimed signature is that of the request. The time taken does not depend on where a wrong one differs. */
  isSignatureOf(request: SignedRequest): boolean
  /** Returns the signature of a chunk of an aws-chunked body; `previous` is the signature before it. */
  chunkSignature(previous: string, chunkSha256: string): string
  /** Returns the signature of the trailers; `previous` is that of the last chunk. */
  trailerSignature(previous: string, trailersSha256: string): string
}

export function createRequestSigner(claim: ClaimedSignature, secret: string): RequestSigner {
  const { date, scope } = claim
  const key = [...scope.split('/')].reduce<Buffer>((current, part) => hmac(current, part), Buffer.from(`AWS4${secret}`))
  const sign = (lines: readonly string[]) => hmac(key, lines.join('\n')).toString('hex')
  return {
    isSignatureOf(request) {
      const expected = sign([ALGORITHM, date, scope, sha256(canonicalRequest(request, claim))])
      return isSameSignature(expected, claim.signature)
    },
    chunkSignature: (previous, chunkSha256) =>
      sign([`${ALGORITHM}-PAYLOAD`, date, scope, previous, EMPTY_SHA256, chunkSha256]),
    trailerSignature: (previous, trailersSha256) =>
      sign([`${ALGORITHM}-TRAILER`, date, scope, previous, trailersSha256]),
  }
}

/** Compares hexadecimal signatures in a time that does not depend on where they differ. */
export function isSameSignature(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a, 'hex'), Buffer.from(b, 'hex')]
  return left.length === right.length && timingSafeEqual(left, right)
}

const EMPTY_SHA256 = sha256('')

function canonicalRequest({ method, url, headers }: SignedRequest, claim: ClaimedSignature): string {
  const [path = '/', query = ''] = splitOnce(url, '?')
  // A header that is not there may have the name of a property that every object has.
  const given = (name: string) => (Object.hasOwn(headers, name) ? headers[name] : undefined)
  const lines = claim.signedHeaders.map((name) => `${name}:${canonicalHeader(given(name))}`)
  return [method, path, canonicalQuery(query), ...lines, '', claim.signedHeaders.join(';'), claim.payloadHash].join(
    '\n',
  )
}

function canonicalHeader(value: string | string[] | undefined): string {
  return [value ?? '']
    .flat()
    .map((text) => text.trim().replaceAll(/[ \t]+/g, ' '))
    .join(',')
}

/** Sorts the query by encoded name, then by encoded value. */
function canonicalQuery(query: string): string {
  if (query === '') return ''
  return query
    .split('&')
    .map((pair) => splitOnce(pair, '=').map((part) => encode(decode(part))))
    .map(([name = '', value = '']): [string, string] => [name, value])
    .sort(([nameA, valueA], [nameB, valueB]) => compare(nameA, nameB) || compare(valueA, valueB))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

function compare(a: string, b: string): number {
  return a === b ? 0 : a < b ? -1 : 1
}

/** Decodes a text; returns an invalid encoding unchanged, which matches no signature. */
function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Encodes every character that RFC 3986 does not leave as it is. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function splitOnce(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
