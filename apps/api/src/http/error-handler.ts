import type { ErrorCode } from '@atoll/protocol'
import { AppError, errorBody } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { FastifyError, FastifyReply, FastifyRequest } from 'fastify'
import type { DatabaseFault } from '../database/database-fault.ts'
import { databaseFault } from '../database/database-fault.ts'

/** The errors of Fastify itself, by their code. */
const frameworkErrors: Readonly<Record<string, [ErrorCode, string?]>> = {
  FST_ERR_CTP_INVALID_JSON_BODY: ['INVALID_JSON', 'The body is not valid JSON'],
  FST_ERR_CTP_EMPTY_JSON_BODY: ['INVALID_JSON', 'The body is empty'],
  FST_ERR_CTP_BODY_TOO_LARGE: ['PAYLOAD_TOO_LARGE', 'The body is too large'],
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: ['BAD_REQUEST', 'The body is not as long as its content-length says'],
  FST_ERR_BAD_URL: ['BAD_REQUEST', 'The path is not validly encoded'],
  FST_ERR_MAX_PARAM_LENGTH: ['URI_TOO_LONG', 'A part of the path is too long'],
}

const databaseErrors: Readonly<Record<DatabaseFault, [ErrorCode, string]>> = {
  unreachable: ['SERVICE_UNAVAILABLE', 'The database cannot be reached'],
  'no room': ['SERVICE_UNAVAILABLE', 'The database cannot write: its disk is full'],
  'unstorable text': ['BAD_REQUEST', 'A text holds a character that cannot be stored'],
}

/**
 * The only place that translates errors to HTTP: every body is that of `errorBody`, and unknown errors are logged in
 * full.
 */
export function createErrorHandler(options: { log: Logger; now: () => number }) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply): void => {
    const known = toAppError(error)
    const { status } = known
    if (status >= 500) options.log.error({ err: error, requestId: request.id }, 'request failed')
    const body = errorBody(known, {
      source: 'DAYTONA_API',
      method: request.method,
      path: pathOf(request.raw.url),
      requestId: request.id,
      now: options.now(),
    })
    // Closing the connection keeps the server from reading a refused upload to its end for nothing.
    if (!request.raw.complete) reply.header('connection', 'close')
    if (known.headers !== undefined) reply.headers(known.headers)
    void reply.code(status).send(body)
  }
}

/** Turns any error into an AppError. Unknown errors become INTERNAL_SERVER_ERROR with a fixed message. */
export function toAppError(error: unknown): AppError {
  if (error instanceof AppError) return error
  if (isFastifyError(error)) {
    if (error.validation) return new AppError('VALIDATION_FAILED', describeValidation(error), { cause: error })
    const [code, message] = frameworkErrors[error.code] ?? []
    if (code) return new AppError(code, message ?? error.message, { cause: error })
    if (error.statusCode === 404) return new AppError('NOT_FOUND', 'Not found', { cause: error })
    if (error.statusCode && error.statusCode >= 400 && error.statusCode < 500) {
      return new AppError('BAD_REQUEST', error.message, { cause: error })
    }
  }
  const fault = databaseFault(error)
  if (fault !== undefined) return new AppError(...databaseErrors[fault], { cause: error })
  return new AppError('INTERNAL_SERVER_ERROR', 'Internal server error', { cause: error })
}

/** Describes each problem by its dotted path and the requirement, as in `body.labels.a must be string`. */
function describeValidation(error: FastifyError): string {
  const context = error.validationContext ?? 'body'
  const problems = (error.validation ?? []).map(({ instancePath, message }) => {
    const path = instancePath.split('/').slice(1).map(unescapePointer)
    return `${[context, ...path].join('.')} ${message ?? 'is not valid'}`
  })
  return problems.join('; ')
}

function unescapePointer(part: string): string {
  return part.replaceAll('~1', '/').replaceAll('~0', '~')
}

/** Returns the path without its query, which may hold secrets that no log or body should repeat. */
export function pathOf(url: string | undefined): string {
  return (url ?? '/').split('?', 1)[0] ?? '/'
}

function isFastifyError(error: unknown): error is FastifyError {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' && 'statusCode' in error
    ? true
    : error instanceof Error && 'validation' in error
}
