import { STATUS_CODES } from 'node:http'
import { errorBody } from '@atoll/protocol'
import type { FastifyReply, FastifyRequest } from 'fastify'
import Negotiator from 'negotiator'
import { pathOf } from '../http/error-handler.ts'
import { PREVIEW_PAGE_POLICY, previewPage } from './preview-page.ts'
import type { PreviewRefusal } from './preview-refusal.ts'

const HTML = 'text/html'
const JSON_TYPE = 'application/json'

/** Answers instead of a preview: with a page, or with the error body for a client that prefers JSON. */
export function answerRefusal(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  refusal: PreviewRefusal,
  now: number,
): void {
  const { error } = refusal
  const type = new Negotiator(request.raw).mediaType([HTML, JSON_TYPE]) ?? HTML
  const text = type === JSON_TYPE ? jsonOf(request, refusal, now) : previewPage(refusal)
  reply.raw.writeHead(error.status, STATUS_CODES[error.status], {
    'content-type': `${type}; charset=utf-8`,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'content-security-policy': PREVIEW_PAGE_POLICY,
    'referrer-policy': 'no-referrer',
    vary: 'accept',
    'x-content-type-options': 'nosniff',
    'x-request-id': request.id,
    // The rest of a refused request's body is not read.
    ...(request.raw.complete ? {} : { connection: 'close' }),
  })
  reply.raw.end(text)
}

function jsonOf(request: FastifyRequest, { error }: PreviewRefusal, now: number): string {
  const { method, id: requestId, originalUrl } = request
  return JSON.stringify(
    errorBody(error, { source: 'DAYTONA_PROXY', method, path: pathOf(originalUrl), requestId, now }),
  )
}
