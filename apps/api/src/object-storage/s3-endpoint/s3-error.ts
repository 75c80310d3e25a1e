import type { AppError, ErrorCode } from '@atoll/protocol'

/** The errors that the endpoint returns, by S3's own codes, which clients check. */
const s3ErrorStatus = {
  AccessDenied: 403,
  BadDigest: 400,
  EntityTooLarge: 400,
  ExpiredToken: 400,
  IncompleteBody: 400,
  InternalError: 500,
  InvalidAccessKeyId: 403,
  InvalidArgument: 400,
  InvalidDigest: 400,
  InvalidPart: 400,
  InvalidRange: 416,
  InvalidRequest: 400,
  InvalidToken: 400,
  MalformedXML: 400,
  MethodNotAllowed: 405,
  MissingContentLength: 411,
  NoSuchBucket: 404,
  NoSuchKey: 404,
  NoSuchUpload: 404,
  NotImplemented: 501,
  PreconditionFailed: 412,
  QuotaExceeded: 403,
  RequestTimeout: 400,
  RequestTimeTooSkewed: 403,
  ServiceUnavailable: 503,
  SignatureDoesNotMatch: 403,
  XAmzContentSHA256Mismatch: 400,
} as const satisfies Record<string, number>

export type S3ErrorCode = keyof typeof s3ErrorStatus

/** An error that an S3 client is told. */
export class S3Error extends Error {
  override readonly name = 'S3Error'
  readonly code: S3ErrorCode
  readonly status: number

  constructor(code: S3ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.code = code
    this.status = s3ErrorStatus[code]
  }
}

const codes: Partial<Record<ErrorCode, S3ErrorCode>> = {
  BAD_REQUEST: 'InvalidArgument',
  INVALID_OBJECT_KEY: 'InvalidArgument',
  METHOD_NOT_ALLOWED: 'MethodNotAllowed',
  OBJECT_EXISTS: 'PreconditionFailed',
  OBJECT_PART_INVALID: 'InvalidPart',
  OBJECT_QUOTA_EXCEEDED: 'QuotaExceeded',
  OBJECT_TOO_LARGE: 'EntityTooLarge',
  OBJECT_UPLOAD_NOT_FOUND: 'NoSuchUpload',
  REQUEST_TIMEOUT: 'RequestTimeout',
  SERVICE_UNAVAILABLE: 'ServiceUnavailable',
}

/** Translates an error of the API to the S3 code. */
export function toS3Error(error: AppError): S3Error {
  const code = codes[error.code] ?? (error.status < 500 ? 'InvalidRequest' : 'InternalError')
  return new S3Error(code, error.message, { cause: error })
}
