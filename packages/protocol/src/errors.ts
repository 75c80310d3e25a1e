import type { Static } from 'typebox'
import { Type } from 'typebox'

/**
 * The HTTP status of every error code of Atoll. The table is closed: a code without a status does not compile.
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
  SECRET_UNREADABLE: 500,
  BAD_GATEWAY: 502,
  SERVICE_UNAVAILABLE: 503,
  GATEWAY_TIMEOUT: 504,

  ORGANIZATION_NOT_FOUND: 404,
  ORGANIZATION_SUSPENDED: 403,
  QUOTA_EXCEEDED: 403,
  ORGANIZATION_IS_PERSONAL: 403,
  LAST_OWNER: 403,
  MEMBER_NOT_FOUND: 404,
  ROLE_NOT_FOUND: 404,
  ROLE_NAME_TAKEN: 409,
  INVITATION_NOT_FOUND: 404,
  INVITATION_NOT_PENDING: 403,
  ALREADY_MEMBER: 409,
  ALREADY_INVITED: 409,

  API_KEY_NOT_FOUND: 404,
  API_KEY_NAME_TAKEN: 409,
  USER_NOT_FOUND: 404,
  USER_EXISTS: 409,
  LOGIN_NAME_TAKEN: 409,
  ACCOUNT_ALREADY_LINKED: 400,
  ACCOUNT_NOT_LINKED: 404,
  LINKING_NOT_CONFIGURED: 404,

  SANDBOX_NOT_FOUND: 404,
  SANDBOX_NAME_TAKEN: 409,
  SANDBOX_NOT_RUNNING: 400,
  SANDBOX_STATE_CONFLICT: 400,
  SANDBOX_START_FAILED: 400,
  SANDBOX_START_TIMEOUT: 400,
  SNAPSHOT_NOT_FOUND: 400,
  SNAPSHOT_NOT_ACTIVE: 400,
  SNAPSHOT_UNKNOWN: 404,
  SNAPSHOT_NAME_TAKEN: 409,
  SNAPSHOT_STATE_CONFLICT: 400,
  SNAPSHOT_IN_USE: 409,
  VOLUME_NOT_FOUND: 404,
  VOLUME_IN_USE: 409,
  VOLUME_NAME_TAKEN: 400,
  VOLUME_STATE_CONFLICT: 400,
  WARM_POOL_NOT_FOUND: 404,
  WARM_POOL_EXISTS: 409,
  TARGET_NOT_FOUND: 400,
  REGION_NOT_FOUND: 404,
  RUNNER_NOT_FOUND: 404,
  NO_AVAILABLE_RUNNER: 400,
  TOOLBOX_UNREACHABLE: 502,
  TOOLBOX_DISCONNECTED: 502,
  RUNNER_UNREACHABLE: 502,
  RUNNER_INCAPABLE: 501,

  DOCKER_REGISTRY_NOT_FOUND: 404,
  DOCKER_REGISTRY_LIMIT_REACHED: 403,
  REGISTRY_PUSH_UNAVAILABLE: 409,

  INVALID_OBJECT_KEY: 400,
  OBJECT_EXISTS: 412,
  OBJECT_TOO_LARGE: 413,
  OBJECT_QUOTA_EXCEEDED: 403,
  OBJECT_UPLOAD_NOT_FOUND: 404,
  OBJECT_PART_INVALID: 400,
  OBJECT_UNREADABLE: 500,
  OBJECT_STORAGE_UNAVAILABLE: 400,
  PREVIEW_NOT_RUNNING: 503,

  FILE_NOT_FOUND: 404,
  FILE_ACCESS_DENIED: 403,
  FILE_EXISTS: 409,
  INVALID_FILE_PATH: 400,
  FILE_READ_FAILED: 500,
  FILE_WRITE_FAILED: 500,
  DISK_FULL: 400,
  PROCESS_EXECUTION_TIMEOUT: 408,
  PROCESS_NOT_FOUND: 404,
  SESSION_ENDED: 410,
  COMMAND_ALREADY_COMPLETED: 410,
  PORT_UNREACHABLE: 502,
  COMPUTER_USE_UNAVAILABLE: 503,
  LSP_SERVER_NOT_INITIALIZED: 400,
  LSP_SERVER_NOT_INSTALLED: 500,
  LSP_SERVER_CRASHED: 500,
  LSP_REQUEST_FAILED: 500,

  GIT_AUTH_FAILED: 401,
  GIT_REPO_NOT_FOUND: 404,
  GIT_BRANCH_NOT_FOUND: 404,
  GIT_REF_NOT_FOUND: 404,
  GIT_REMOTE_NOT_FOUND: 404,
  GIT_REPO_EXISTS: 409,
  GIT_BRANCH_EXISTS: 409,
  GIT_REMOTE_EXISTS: 409,
  GIT_TARGET_NOT_EMPTY: 409,
  GIT_NOTHING_TO_COMMIT: 409,
  GIT_PUSH_REJECTED: 409,
  GIT_DIRTY_WORKTREE: 409,
  GIT_MERGE_CONFLICT: 409,
  GIT_LOCKED: 409,
  GIT_REMOTE_REJECTED: 422,
  GIT_FAILED: 500,
  GIT_NOT_INSTALLED: 501,
  GIT_TRANSPORT_FAILED: 502,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof errorStatus

export type ErrorSource = 'DAYTONA_API' | 'DAYTONA_DAEMON' | 'DAYTONA_PROXY'

export interface AppErrorOptions {
  cause?: unknown
  headers?: Readonly<Record<string, string>>
  /** More about the failure, for the caller, where the contract has such a field. */
  details?: string
  /** A way for the caller to solve the problem. */
  solution?: string
}

/** The one error Atoll throws on purpose. `message` is for the caller: it never holds secrets or host paths. */
export class AppError extends Error {
  override readonly name = 'AppError'
  readonly code: ErrorCode
  readonly status: number
  /** Headers of the answer, such as `retry-after`. */
  readonly headers: Readonly<Record<string, string>> | undefined
  readonly details: string | undefined
  readonly solution: string | undefined

  constructor(code: ErrorCode, message: string, options: AppErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined)
    this.code = code
    this.status = errorStatus[code]
    this.headers = options.headers
    this.details = options.details
    this.solution = options.solution
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
    details: Type.Optional(Type.String()),
    solution: Type.Optional(Type.String()),
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
  410: 'Gone',
  412: 'Precondition Failed',
  413: 'Payload Too Large',
  414: 'URI Too Long',
  416: 'Range Not Satisfiable',
  422: 'Unprocessable Entity',
  429: 'Too Many Requests',
  431: 'Request Header Fields Too Large',
  500: 'Internal Server Error',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
}

/** The source of an error body and the request it is for. */
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
    ...(error.details === undefined ? {} : { details: error.details }),
    ...(error.solution === undefined ? {} : { solution: error.solution }),
  }
}
