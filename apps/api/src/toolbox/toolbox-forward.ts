import { STATUS_CODES } from 'node:http'
import { AppError, errorBody } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { ForwardOptions, ForwardOutcome, Headers, TunnelPeer } from '@atoll/tunnel'
import { forwardHttp, forwardUpgrade } from '@atoll/tunnel'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Counter } from 'prom-client'
import { pathOf } from '../http/error-handler.ts'
import type { Metrics } from '../http/metrics.ts'
import { withoutSandboxToken } from './sandbox-token.ts'
import { signedFileCall } from './signed-file-call.ts'
import { guardHeaders, keptFromSandbox, withheldFromSandbox } from './toolbox-headers.ts'
import { toolboxTarget } from './toolbox-target.ts'
import { takeUpgrade } from './upgrade-requests.ts'

export interface ToolboxForwardOptions {
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  metrics: Pick<Metrics, 'registry'>
}

/** Passes one authorised call on to a toolbox; it answers in every case. */
export type ToolboxForward = (peer: TunnelPeer, request: FastifyRequest, reply: FastifyReply) => void

const SWITCHING_PROTOCOLS = 101

export function createToolboxForward({ log, now, metrics }: ToolboxForwardOptions): ToolboxForward {
  const outcomes = new Counter({
    name: 'atoll_toolbox_calls_total',
    help: 'Calls passed on to toolboxes, by how they ended',
    labelNames: ['outcome'],
    registers: [metrics.registry],
  })

  function answer(request: FastifyRequest, reply: FastifyReply, error: AppError): void {
    const body = errorBody(error, {
      source: 'DAYTONA_PROXY',
      method: request.method,
      path: pathOf(request.raw.url),
      requestId: request.id,
      now: now(),
    })
    const text = JSON.stringify(body)
    reply.raw.writeHead(error.status, STATUS_CODES[error.status], {
      ...textHeaders(reply),
      ...(request.raw.complete ? {} : { connection: 'close' }),
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.byteLength(text),
    })
    reply.raw.end(text)
  }

  function conclude(request: FastifyRequest, reply: FastifyReply, outcome: ForwardOutcome): void {
    outcomes.inc({ outcome: outcome.kind })
    if (outcome.kind === 'answered') {
      // Sets the status for the request observer, since an upgrade writes outside the response.
      reply.raw.statusCode = outcome.status
      return
    }
    // This server refuses no response.
    if (outcome.kind === 'client-gone' || outcome.kind === 'refused') return
    const { error } = outcome
    log.info({ err: error, requestId: request.id, outcome: outcome.kind }, 'a toolbox call failed')
    if (outcome.kind === 'failed') answer(request, reply, proxyError(error.code))
  }

  return (peer, request, reply) => {
    reply.hijack()
    const upgrade = takeUpgrade(request.raw)
    const options: ForwardOptions = {
      path: signedFileCall(request)?.target ?? withoutSandboxToken(toolboxTarget(request)),
      headers: { 'x-request-id': request.id },
      dropHeaders: withheldFromSandbox,
      keepResponseHeaders: keptFromSandbox,
      responseHeaders: { ...textHeaders(reply), ...guardHeaders },
      onOutcome: (outcome) => conclude(request, reply, outcome),
    }
    if (upgrade === undefined) {
      forwardHttp(peer, { req: request.raw, res: reply.raw }, options)
      return
    }
    // Set beforehand: joined streams end with their socket, when the status can no longer be set.
    reply.raw.statusCode = SWITCHING_PROTOCOLS
    forwardUpgrade(peer, { req: request.raw, ...upgrade }, options)
  }
}

/** Returns the headers that hooks have set on the reply: request id, CORS. */
function textHeaders(reply: FastifyReply): Headers {
  const headers: Headers = {}
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value : String(value)
  }
  return headers
}

function proxyError(code: Extract<ForwardOutcome, { kind: 'failed' }>['error']['code']): AppError {
  switch (code) {
    case 'LINK_CLOSED':
    case 'LINK_TIMEOUT':
    case 'PROTOCOL_ERROR':
    case 'VERSION_MISMATCH':
      return new AppError('TOOLBOX_DISCONNECTED', 'The connection to the toolbox broke during the call')
    case 'TOO_MANY_STREAMS':
      return new AppError('SERVICE_UNAVAILABLE', 'Too many calls to this sandbox are under way')
    case 'HEAD_TOO_LARGE':
      return new AppError('BAD_REQUEST', 'The headers of the request are too large to pass on')
    case 'CANCELLED':
    case 'HANDLER_FAILED':
    case 'DEADLINE_EXCEEDED':
    case 'BODY_TOO_LARGE':
      return new AppError('BAD_GATEWAY', 'The toolbox gave no answer to this call')
  }
}
