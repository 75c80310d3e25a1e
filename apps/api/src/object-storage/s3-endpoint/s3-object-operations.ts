import type { IncomingHttpHeaders } from 'node:http'
import { text } from 'node:stream/consumers'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { LocalObjectHead, LocalObjectStore } from '../local-objects.ts'
import type { ScopeQuota } from '../object-files-store.ts'
import { readRange } from '../object-range.ts'
import { readParts } from './completed-parts.ts'
import type { S3Caller } from './s3-authentication.ts'
import { openBody } from './s3-body.ts'
import { S3Error } from './s3-error.ts'
import { LOCAL_BUCKET } from './s3-path.ts'
import { completedXml, uploadXml } from './s3-xml.ts'

/** The quota of the objects of one organization. */
export const ORGANIZATION_QUOTA: ScopeQuota = { maxBytes: 50 * 1024 ** 3, maxFiles: 100_000 }

const MAX_PART_NUMBER = 10_000
const MAX_XML_BYTES = 2 * 1024 ** 2
const MAX_HEADERS_BYTES = 2_048
const MAX_CONTENT_TYPE_LENGTH = 255
/** The number of reads that may start over because the object was replaced meanwhile. */
const MAX_READ_ATTEMPTS = 5
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

const KEPT_HEADERS = ['cache-control', 'content-disposition', 'content-encoding', 'content-language', 'expires']
const META_PREFIX = 'x-amz-meta-'
/** Headers that would change the stored object: to ignore them would store something else than the client asked for. */
const UNSERVED_HEADERS =
  /^x-amz-(copy-source|server-side-encryption|tagging|object-lock|website-redirect|grant|write-offset)/

/** The ACL of every object; some clients send it each time. */
const PRIVATE = 'private'

export interface ObjectCall {
  key: string
  query: URLSearchParams
  caller: S3Caller
  request: FastifyRequest
  reply: FastifyReply
}

/** Serves calls for one object, whose key is below the caller's organization. */
export async function serveObject(objects: LocalObjectStore, call: ObjectCall) {
  const { method } = call.request
  const isUpload = call.query.has('uploadId') || call.query.has('uploads')
  switch (isUpload ? `${method} upload` : method) {
    case 'GET':
      return await get(objects, call)
    case 'HEAD':
      return await head(objects, call)
    case 'PUT':
      return await put(objects, call)
    case 'DELETE':
      await objects.delete(call.key)
      return call.reply.code(204).send()
    case 'POST upload':
      return call.query.has('uploads') ? await createUpload(objects, call) : await completeUpload(objects, call)
    case 'PUT upload':
      return await putPart(objects, call)
    case 'DELETE upload':
      await objects.abortUpload(uploadIdOf(call), call.key)
      return call.reply.code(204).send()
    default:
      throw new S3Error('NotImplemented', `${method} is not served here`)
  }
}

async function head(objects: LocalObjectStore, { key, request, reply }: ObjectCall) {
  const found = await objects.head(key)
  if (found === undefined) throw noSuchKey()
  if (isUnchanged(request.headers, found)) return reply.code(304).headers(describe(found)).send()
  return reply.headers({ ...describe(found), 'content-length': found.size }).send()
}

async function get(objects: LocalObjectStore, { key, request, reply }: ObjectCall) {
  for (let attempt = 1; attempt <= MAX_READ_ATTEMPTS; attempt++) {
    const found = await objects.head(key)
    if (found === undefined) throw noSuchKey()
    if (isUnchanged(request.headers, found)) return reply.code(304).headers(describe(found)).send()
    const span = readRange(request.headers.range, found.size)
    if (span === 'unsatisfiable') {
      reply.header('content-range', `bytes */${found.size}`)
      throw new S3Error('InvalidRange', 'The object has none of these bytes')
    }
    const opened = await objects.get(key, span)
    if (opened === undefined) throw noSuchKey()
    if (opened.head.etag !== found.etag || opened.head.size !== found.size) {
      opened.body.destroy()
      continue
    }
    const { start, end } = span ?? { start: 0, end: found.size - 1 }
    if (span !== undefined) reply.code(206).header('content-range', `bytes ${start}-${end}/${found.size}`)
    return reply.headers({ ...describe(found), 'content-length': end - start + 1 }).send(opened.body)
  }
  throw new S3Error('ServiceUnavailable', 'The object is replaced again and again')
}

/** Returns true for a condition under which the answer has no body. Throws PreconditionFailed. */
function isUnchanged(headers: IncomingHttpHeaders, { etag }: LocalObjectHead): boolean {
  const names = (value: string) => value.split(',').map((name) => name.trim().replace(/^W\//, ''))
  const matches = (value: string) => names(value).some((name) => name === '*' || name === `"${etag}"` || name === etag)
  const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = headers
  if (ifMatch !== undefined && !matches(ifMatch)) throw new S3Error('PreconditionFailed', 'The object is another')
  return ifNoneMatch !== undefined && matches(ifNoneMatch)
}

function describe({ etag, modifiedAt, contentType, headers }: LocalObjectHead): Record<string, string> {
  return {
    ...headers,
    etag: `"${etag}"`,
    'last-modified': modifiedAt.toUTCString(),
    'content-type': contentType,
    'accept-ranges': 'bytes',
    'x-content-type-options': 'nosniff',
  }
}

async function put(objects: LocalObjectStore, { key, request, caller, reply }: ObjectCall) {
  const described = readDescription(request.headers)
  const { 'if-none-match': ifNoneMatch, 'if-match': ifMatch } = request.headers
  if (ifMatch !== undefined || (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*')) {
    throw new S3Error('NotImplemented', 'Of conditions, only If-None-Match: * is served here')
  }
  const { stream, size } = openBody(request.raw, caller.claim, caller.signer)
  const quota = ORGANIZATION_QUOTA
  const { etag } = await objects.put(key, stream, { ...described, size, quota, ifAbsent: ifNoneMatch !== undefined })
  return reply.header('etag', `"${etag}"`).send()
}

async function createUpload(objects: LocalObjectStore, { key, request, reply }: ObjectCall) {
  const uploadId = await objects.createUpload(key, readDescription(request.headers))
  return reply.send(uploadXml(LOCAL_BUCKET, key, uploadId))
}

async function putPart(objects: LocalObjectStore, call: ObjectCall) {
  const { key, query, request, caller, reply } = call
  readDescription(request.headers)
  const number = Number(query.get('partNumber') ?? '')
  if (!Number.isInteger(number) || number < 1 || number > MAX_PART_NUMBER) {
    throw new S3Error('InvalidArgument', `partNumber must be between 1 and ${MAX_PART_NUMBER}`)
  }
  const { stream, size } = openBody(request.raw, caller.claim, caller.signer)
  const target = { uploadId: uploadIdOf(call), key, number }
  const etag = await objects.putPart(target, stream, { size, quota: ORGANIZATION_QUOTA })
  return reply.header('etag', `"${etag}"`).send()
}

async function completeUpload(objects: LocalObjectStore, call: ObjectCall) {
  const { key, request, caller, reply } = call
  const { stream, size } = openBody(request.raw, caller.claim, caller.signer)
  if (size > MAX_XML_BYTES) throw new S3Error('MalformedXML', `The body is larger than ${MAX_XML_BYTES} bytes`)
  const parts = readParts(await text(stream))
  const { etag } = await objects.completeUpload(uploadIdOf(call), key, parts)
  return reply.send(completedXml(LOCAL_BUCKET, key, etag))
}

function uploadIdOf({ query }: ObjectCall): string {
  const uploadId = query.get('uploadId') ?? ''
  if (!UUID.test(uploadId)) throw new S3Error('NoSuchUpload', 'There is no such multipart upload')
  return uploadId
}

/** Reads the description to store with the bytes. Throws NotImplemented and InvalidArgument. */
function readDescription(headers: IncomingHttpHeaders): { contentType?: string; headers: Record<string, string> } {
  const unserved = Object.keys(headers).find((name) => UNSERVED_HEADERS.test(name))
  if (unserved !== undefined) throw new S3Error('NotImplemented', `The header ${unserved} is not served here`)
  const acl = headers['x-amz-acl'] ?? PRIVATE
  if (acl !== PRIVATE) throw new S3Error('NotImplemented', 'Objects are private here')
  const kept = keptHeaders(headers)
  if (Buffer.byteLength(JSON.stringify(kept)) > MAX_HEADERS_BYTES) {
    throw new S3Error('InvalidArgument', `The metadata takes more than ${MAX_HEADERS_BYTES} bytes`)
  }
  const contentType = headers['content-type']
  if (contentType === undefined) return { headers: kept }
  if (contentType.length > MAX_CONTENT_TYPE_LENGTH) {
    throw new S3Error('InvalidArgument', `The content type is longer than ${MAX_CONTENT_TYPE_LENGTH} characters`)
  }
  return { contentType, headers: kept }
}

function keptHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string' && (KEPT_HEADERS.includes(name) || name.startsWith(META_PREFIX))) kept[name] = value
  }
  // The encoding of the transfer is not that of the object.
  const encodings = (kept['content-encoding'] ?? '').split(',').map((encoding) => encoding.trim())
  const own = encodings.filter((encoding) => encoding !== 'aws-chunked' && encoding !== '')
  if (own.length > 0) kept['content-encoding'] = own.join(', ')
  else delete kept['content-encoding']
  return kept
}

function noSuchKey(): S3Error {
  return new S3Error('NoSuchKey', 'There is no object of this key')
}
