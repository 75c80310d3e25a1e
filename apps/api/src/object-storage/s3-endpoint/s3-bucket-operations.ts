import type { FastifyReply } from 'fastify'
import type { LocalObjectStore } from '../local-objects.ts'
import { MAX_LISTED_OBJECTS } from '../object-store.ts'
import { S3Error } from './s3-error.ts'
import { LOCAL_BUCKET, LOCAL_REGION } from './s3-path.ts'
import { listXml, locationXml, uploadsXml } from './s3-xml.ts'

export interface BucketCall {
  method: string
  query: URLSearchParams
  organizationId: string
}

/** Serves calls for the whole bucket: its existence and region, and lists of the caller's own objects and uploads in it. */
export async function serveBucket(objects: LocalObjectStore, call: BucketCall, reply: FastifyReply) {
  const { method, query } = call
  if (method === 'HEAD') return reply.header('x-amz-bucket-region', LOCAL_REGION).send()
  if (method !== 'GET') throw new S3Error('NotImplemented', `${method} of a bucket is not served here`)
  if (query.has('location')) return reply.send(locationXml())
  if (query.has('uploads')) return reply.send(await listUploads(objects, call))
  if (query.get('list-type') !== '2') throw new S3Error('NotImplemented', 'Only version 2 of lists is served here')
  return reply.send(await list(objects, call))
}

/** Lists the caller's uploads; there are never more than fit in one answer. */
async function listUploads(objects: LocalObjectStore, { query, organizationId }: BucketCall): Promise<string> {
  const asked = query.get('prefix') ?? ''
  const own = `${organizationId}/`
  const prefix = own.startsWith(asked) ? own : asked
  return uploadsXml(LOCAL_BUCKET, asked, prefix.startsWith(own) ? await objects.listUploads(prefix) : [])
}

async function list(objects: LocalObjectStore, { query, organizationId }: BucketCall): Promise<string> {
  const maxKeys = readMaxKeys(query.get('max-keys'))
  const asked = {
    bucket: LOCAL_BUCKET,
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') || undefined,
    maxKeys,
    startAfter: query.get('start-after') ?? undefined,
    continuationToken: query.get('continuation-token') ?? undefined,
    urlEncoded: query.get('encoding-type') === 'url',
  }
  if (maxKeys === 0) return listXml(asked, { objects: [], commonPrefixes: [], nextCursor: undefined })
  const { prefix, delimiter, startAfter, continuationToken: cursor } = asked
  const page = await objects.list({
    prefix,
    within: `${organizationId}/`,
    limit: maxKeys,
    ...(delimiter === undefined ? {} : { delimiter }),
    ...(startAfter === undefined ? {} : { startAfter }),
    ...(cursor === undefined ? {} : { cursor }),
  })
  return listXml(asked, page)
}

function readMaxKeys(text: string | null): number {
  if (text === null || text === '') return MAX_LISTED_OBJECTS
  if (!/^\d{1,10}$/.test(text)) throw new S3Error('InvalidArgument', 'max-keys must be a number')
  return Math.min(Number(text), MAX_LISTED_OBJECTS)
}
