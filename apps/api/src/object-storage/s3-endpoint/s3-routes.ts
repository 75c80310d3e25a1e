import type { Logger } from '@atoll/service'
import type { FastifyPluginAsync, FastifyReply, FastifyRequest } from 'fastify'
import { pathOf, toAppError } from '../../http/error-handler.ts'
import type { LocalObjectStore } from '../local-objects.ts'
import type { S3AuthenticationOptions, S3Caller } from './s3-authentication.ts'
import { createS3Authentication } from './s3-authentication.ts'
import { serveBucket } from './s3-bucket-operations.ts'
import { S3Error, toS3Error } from './s3-error.ts'
import { serveObject } from './s3-object-operations.ts'
import { LOCAL_BUCKET, S3_PATH } from './s3-path.ts'
import { readTarget } from './s3-target.ts'
import { errorXml } from './s3-xml.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Set before any handler of the S3 endpoint; unset elsewhere. */
    s3Caller: S3Caller
  }
}

export interface S3RoutesOptions extends S3AuthenticationOptions {
  objects: LocalObjectStore
  log: Logger
}

/** The most bytes that are read of a refused upload, so that the client sees the answer instead of a broken connection. */
const MAX_DISCARDED_BYTES = 16 * 1024 ** 2

/**
 * Serves the few operations of S3 that uploading, reading and listing objects require, for the credentials of push
 * access. Others are refused by name. Errors have the form of S3's.
 */
export const s3Routes: FastifyPluginAsync<S3RoutesOptions> = async (app, options) => {
  const authenticate = createS3Authentication(options)
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _body, done) => done(null))
  app.setErrorHandler((error, request, reply) => sendError(error, { request, reply, log: options.log }))
  app.decorateRequest('s3Caller')
  app.addHook('onRequest', async (request) => {
    request.s3Caller = authenticate(request)
  })
  app.route({
    method: ['GET', 'HEAD', 'PUT', 'POST', 'DELETE'],
    url: `${S3_PATH}/*`,
    config: { proxied: true },
    schema: { hide: true },
    exposeHeadRoute: false,
    handler: (request: FastifyRequest, reply: FastifyReply) => serve(options.objects, request, reply),
  })

  const root = `${app.prefix}${S3_PATH}`
  async function serve(objects: LocalObjectStore, request: FastifyRequest, reply: FastifyReply) {
    const { bucket, key, query } = readTarget(request.raw.url ?? '', root)
    const caller = request.s3Caller
    reply.header('content-type', 'application/xml')
    if (bucket === undefined) throw new S3Error('AccessDenied', 'These credentials are for one bucket')
    if (bucket !== LOCAL_BUCKET) throw new S3Error('NoSuchBucket', `The only bucket is ${LOCAL_BUCKET}`)
    if (key === undefined) {
      const call = { method: request.method, query, organizationId: caller.organizationId }
      return await serveBucket(objects, call, reply)
    }
    if (!key.startsWith(`${caller.organizationId}/`)) {
      throw new S3Error('AccessDenied', `These credentials are for keys below ${caller.organizationId}/`)
    }
    return await serveObject(objects, { key, query, caller, request, reply })
  }
}

interface ErrorAnswer {
  request: FastifyRequest
  reply: FastifyReply
  log: Logger
}

function sendError(error: unknown, { request, reply, log }: ErrorAnswer): void {
  const known = error instanceof S3Error ? error : toS3Error(toAppError(error))
  const { code, status, message } = known
  // An unserved operation is the client's mistake, although its status is 501.
  if (status >= 500 && code !== 'NotImplemented')
    log.error({ err: error, requestId: request.id }, 'request of the S3 endpoint failed')
  finishReading(request, reply)
  reply.code(status).header('content-type', 'application/xml').removeHeader('content-length')
  if (request.method === 'HEAD') void reply.send()
  else void reply.send(errorXml({ code, message, resource: pathOf(request.raw.url), requestId: request.id }))
}

function finishReading({ raw }: FastifyRequest, reply: FastifyReply): void {
  if (raw.complete) return
  const announced = Number(raw.headers['content-length'] ?? Number.POSITIVE_INFINITY)
  if (announced <= MAX_DISCARDED_BYTES) raw.resume()
  else reply.header('connection', 'close')
}
