import XMLBuilder from 'fast-xml-builder'
import type { ObjectPage } from '../object-store.ts'

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

/** Lists all uploads below a prefix that are under way. */
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
