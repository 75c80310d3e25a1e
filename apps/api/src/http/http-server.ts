import { randomUUID } from 'node:crypto'
import type { IncomingMessage, RequestListener, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, errorBody } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { FastifyBaseLogger, FastifyInstance } from 'fastify'
import { fastify, LogController } from 'fastify'
import { createErrorHandler } from './error-handler.ts'
import { MAX_JSON_BODY_BYTES } from './json-body.ts'
import { endWithError } from './raw-answer.ts'
import type { TrustedProxies } from './trusted-proxies.ts'
import { compileValidator } from './validation.ts'

/** Bytes of URL and headers together; Node itself refuses larger heads before any of our code runs. */
const MAX_HEADER_BYTES = 32 * 1024
const MAX_PATH_PARAMETER_BYTES = 4 * 1024
/** Time for a client to send its request line and headers. */
const HEADERS_TIMEOUT_MS = 20_000
/** Longer than the usual idle time of proxies in front, so that the proxies close first. */
const KEEP_ALIVE_TIMEOUT_MS = 75_000
/** After this much silence the kernel probes whether the client is still connected. */
const TCP_KEEP_ALIVE_MS = 30_000
/** An id from outside is kept only if it can be logged unchanged. */
const SANE_REQUEST_ID = /^[\w.:-]{1,64}$/

export interface HttpServerOptions {
  log: Logger
  /** Milliseconds since the epoch. */
  now: () => number
  /** The proxies whose headers are believed about a request's origin; none by default. */
  proxies?: Pick<TrustedProxies, 'trusts'>
  /** Takes a request from the routes and answers it; returns false when it did not. */
  divert?: (request: IncomingMessage, response: ServerResponse) => boolean
  /** Returns the path by which a request finds its route. */
  rewriteUrl?: (request: { url?: string | undefined }) => string
}

/**
 * Creates the HTTP server without routes. Requests and connections have no time limit, since uploads, downloads and
 * commands may take hours. Headers and JSON bodies have one, and TCP detects dead clients.
 */
export function createHttpServer(options: HttpServerOptions): FastifyInstance {
  const { divert = () => false, rewriteUrl, proxies } = options
  const handleError = createErrorHandler(options)
  const loggerInstance: FastifyBaseLogger = options.log
  const app = fastify({
    loggerInstance,
    // The request observer writes the log lines and decides what they may hold.
    logController: new LogController({ disableRequestLogging: true }),
    serverFactory: (handler) =>
      openServer((request, response) => divert(request, response) || handler(request, response)),
    ...(proxies === undefined ? {} : { trustProxy: (address) => proxies.trusts(address) }),
    ...(rewriteUrl === undefined ? {} : { rewriteUrl }),
    forceCloseConnections: 'idle',
    bodyLimit: MAX_JSON_BODY_BYTES,
    requestIdHeader: false,
    genReqId: (request) => requestId(request),
    routerOptions: { maxParamLength: MAX_PATH_PARAMETER_BYTES },
    frameworkErrors: handleError,
    clientErrorHandler: (error, socket) => refuseMalformed(error, socket, options.now()),
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(compileValidator)
  app.setErrorHandler(handleError)
  return app
}

function openServer(handler: RequestListener): Server {
  const options = { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: HEADERS_TIMEOUT_MS }
  const server = createServer({ ...options, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE_MS }, handler)
  server.keepAliveTimeout = KEEP_ALIVE_TIMEOUT_MS
  server.requestTimeout = 0
  return server
}

function requestId(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && SANE_REQUEST_ID.test(given) ? given : randomUUID()
}

/** Answers bytes that are no HTTP request, with the body every error has. */
function refuseMalformed(error: Error & { code?: string }, socket: Socket, now: number): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const context = { source: 'DAYTONA_API', method: '', path: '', now } as const
  const body = errorBody(malformedRequest(error.code), context)
  endWithError(socket, body)
}

function malformedRequest(code: string | undefined): AppError {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return new AppError('HEADERS_TOO_LARGE', `URL and headers are larger than ${MAX_HEADER_BYTES} bytes`)
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new AppError('REQUEST_TIMEOUT', `The headers did not arrive within ${HEADERS_TIMEOUT_MS / 1000} s`)
    default:
      return new AppError('BAD_REQUEST', 'Not an HTTP request')
  }
}
