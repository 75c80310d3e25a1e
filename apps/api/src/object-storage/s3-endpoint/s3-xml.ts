import XMLBuilder from 'fast-xml-builder'
import { XMLParser } from 'fast-xml-parser'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { NamedPart, ObjectPage } from '../object-store.ts'
import { MAX_PARTS } from '../object-store.ts'
import { S3Error } from './s3-error.ts'

const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'

const builder = new XMLBuilder({ ignoreAttributes: false, attributeNamePrefix: '@', suppressEmptyNode: true })

function toXml(name: string, content: object, attributes: object = { '@xmlns': NAMESPACE }): string {
  return `<?xml version="1.0" encoding="UTF-8"?>\n${builder.build({ [name]: { ...attributes, ...content } })}`
}

export function errorXml(error: { code: string; message: string; resource: string; requestId: string }): string {
  const { code, message, resource, requestId } = error
  const content = { Code: code, Message: message, Resource: resource, RequestId: requestId }
  return toXml('Error', content, {})
}

export interface ListQuery {
  bucket: string
  prefix: string
  delimiter: string | undefined
  maxKeys: number
  startAfter: string | undefined
  continuationToken: string | undefined
  /** Whether names are percent-encoded in the answer. */
  urlEncoded: boolean
}

export function listXml(query: ListQuery, page: ObjectPage): string {
  const encode = query.urlEncoded ? encodeName : (name: string) => name
  return toXml('ListBucketResult', {
    Name: query.bucket,
    Prefix: encode(query.prefix),
    ...(query.delimiter === undefined ? {} : { Delimiter: encode(query.delimiter) }),
    ...(query.startAfter === undefined ? {} : { StartAfter: encode(query.startAfter) }),
    ...(query.continuationToken === undefined ? {} : { ContinuationToken: query.continuationToken }),
    ...(query.urlEncoded ? { EncodingType: 'url' } : {}),
    MaxKeys: query.maxKeys,
    KeyCount: page.objects.length + page.commonPrefixes.length,
    IsTruncated: page.nextCursor !== undefined,
    ...(page.nextCursor === undefined ? {} : { NextContinuationToken: page.nextCursor }),
    Contents: page.objects.map(({ key, size, etag, modifiedAt }) => ({
      Key: encode(key),
      LastModified: modifiedAt.toISOString(),
      ETag: `"${etag}"`,
      Size: size,
      StorageClass: 'STANDARD',
    })),
    CommonPrefixes: page.commonPrefixes.map((prefix) => ({ Prefix: encode(prefix) })),
  })
}

function encodeName(name: string): string {
  return encodeURIComponent(name).replaceAll('%2F', '/')
}

export function uploadXml(bucket: string, key: string, uploadId: string): string {
  return toXml('InitiateMultipartUploadResult', { Bucket: bucket, Key: key, UploadId: uploadId })
}

/** All that are under way below a prefix. */
export function uploadsXml(bucket: string, prefix: string, uploads: readonly { id: string; key: string }[]): string {
  return toXml('ListMultipartUploadsResult', {
    Bucket: bucket,
    Prefix: prefix,
    IsTruncated: false,
    Upload: uploads.map(({ id, key }) => ({ Key: key, UploadId: id })),
  })
}

export function completedXml(bucket: string, key: string, etag: string): string {
  return toXml('CompleteMultipartUploadResult', { Bucket: bucket, Key: key, ETag: `"${etag}"` })
}

export function locationXml(): string {
  return toXml('LocationConstraint', {})
}

const CompleteUpload = Type.Object({
  CompleteMultipartUpload: Type.Object({
    Part: Type.Array(Type.Object({ PartNumber: Type.String({ pattern: '^[0-9]{1,5}$' }), ETag: Type.String() }), {
      maxItems: MAX_PARTS,
    }),
  }),
})

/** Reads the parts of a `CompleteMultipartUpload`. Throws MalformedXML. */
export function readParts(text: string): NamedPart[] {
  const content = parse(text)
  if (!Value.Check(CompleteUpload, content)) throw malformed()
  return content.CompleteMultipartUpload.Part.map(({ PartNumber, ETag }) => ({
    number: Number(PartNumber),
    etag: ETag.replaceAll('"', ''),
  }))
}

function parse(text: string): unknown {
  // No client sends declarations; what they could define, such as entities, is not wanted.
  if (/<!|<\?(?!xml )/.test(text)) throw malformed()
  try {
    const parser = new XMLParser({ parseTagValue: false, isArray: (name) => name === 'Part' })
    return parser.parse(text, true)
  } catch (cause) {
    throw malformed(cause)
  }
}

function malformed(cause?: unknown): S3Error {
  return new S3Error('MalformedXML', 'The body is not the XML that this takes', { cause })
}
