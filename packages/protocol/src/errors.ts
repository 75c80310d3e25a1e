import type { Static } from 'typebox'
import { Type } from 'typebox'

/**
 * Every failure Atoll names: code → HTTP status. One closed table; a code without a status does not compile.
 * Codes of the toolbox follow §20.7 of the Daytona contract.
 */
export const errorStatus = {
  BAD_REQUEST: 400,
  VALIDATION_FAILED: 400,
  INVALID_JSON: 400,
  UNAUTHORIZED: 401,
  FORBIDDEN: 403,
  NOT_FOUND: 404,
  METHOD_NOT_ALLOWED: 405,
  REQUEST_TIMEOUT: 408,
  CONFLICT: 409,
  PAYLOAD_TOO_LARGE: 413,
  URI_TOO_LONG: 414,
  RANGE_NOT_SATISFIABLE: 416,
  RATE_LIMITED: 429,
  HEADERS_TOO_LARGE: 431,
  INTERNAL_SERVER_ERROR: 500,
  BAD_GATEWAY: 502,
  SERVICE_UNAVAILABLE: 503,
  GATEWAY_TIMEOUT: 504,

  SANDBOX_NOT_FOUND: 404,
  SANDBOX_NOT_RUNNING: 400,
  SANDBOX_STATE_CONFLICT: 400,
  SANDBOX_START_FAILED: 400,
  SANDBOX_START_TIMEOUT: 400,
  SNAPSHOT_NOT_FOUND: 400,
  TARGET_NOT_FOUND: 400,
  NO_AVAILABLE_RUNNER: 400,
  TOOLBOX_UNREACHABLE: 502,
  TOOLBOX_DISCONNECTED: 502,
  RUNNER_UNREACHABLE: 502,

  FILE_NOT_FOUND: 404,
  FILE_ACCESS_DENIED: 403,
  FILE_EXISTS: 409,
  INVALID_FILE_PATH: 400,
  FILE_READ_FAILED: 500,
  FILE_WRITE_FAILED: 500,
  DISK_FULL: 400,
  PROCESS_EXECUTION_TIMEOUT: 408,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof errorStatus

export type ErrorSource = 'DAYTONA_API' | 'DAYTONA_DAEMON' | 'DAYTONA_PROXY'

/** The one error Atoll throws on purpose. `message` is for the caller: it never holds secrets or host paths. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly status: number

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.status = errorStatus[code]
  }
}

/** The superset error body of §2 of the Daytona contract, the same from the API and from the toolbox. */
export const ErrorBody = Type.Object(
  {
    statusCode: Type.Integer(),
    message: Type.String(),
    error: Type.String({ description: 'HTTP reason phrase' }),
    code: Type.String({ description: 'Machine-readable code, SCREAMING_SNAKE' }),
    source: Type.String({ description: 'DAYTONA_API, DAYTONA_DAEMON or DAYTONA_PROXY' }),
    path: Type.String(),
    method: Type.String(),
    timestamp: Type.String({ format: 'date-time' }),
    requestId: Type.Optional(Type.String()),
  },
  { $id: 'Error' },
)
export type ErrorBody = Static<typeof ErrorBody>

const reasonPhrases: Record<number, string> = {
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  408: 'Request Timeout',
  409: 'Conflict',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  416: 'Range Not Satisfiable',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/** Where an error body was made and for which request. */
export interface ErrorContext {
  source: ErrorSource
  method: string
  path: string
  requestId?: string
  /** Milliseconds since the epoch. */
  now: number
}

/** Builds the body sent for an error. */
export function errorBody(error: AppError, context: ErrorContext): ErrorBody {
  return {
    statusCode: error.status,
    message: error.message,
    error: reasonPhrases[error.status] ?? 'Error',
    code: error.code,
    source: context.source,
    path: context.path,
    method: context.method,
    timestamp: new Date(context.now).toISOString(),
    ...(context.requestId === undefined ? {} : { requestId: context.requestId }),
  }
}
