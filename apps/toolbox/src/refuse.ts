import { AppError, errorBody, TOOLBOX_REFUSAL_HEADER } from '@atoll/protocol'
import type { Headers, IncomingExchange } from '@atoll/tunnel'

/** The longest request id repeated in an error body. */
const MAX_REQUEST_ID_LENGTH = 128

/** Answers an exchange with an error; an error other than AppError becomes a 500 without details. */
export function refuse(options: { exchange: IncomingExchange; error: unknown; now: number }): void {
  const { exchange, now } = options
  const { method, headers: requestHeaders } = exchange.head
  const error =
    options.error instanceof AppError
      ? options.error
      : new AppError('INTERNAL_SERVER_ERROR', 'the toolbox failed to answer')
  const requestId = requestHeaders['x-request-id']
  const body = errorBody(error, {
    source: 'DAYTONA_DAEMON',
    method,
    path: exchange.head.path.split('?', 1)[0] ?? '',
    now,
    ...(typeof requestId === 'string' ? { requestId: requestId.slice(0, MAX_REQUEST_ID_LENGTH) } : {}),
  })
  const bytes = Buffer.from(JSON.stringify(body))
  const headers: Headers = {
    ...error.headers,
    'content-type': 'application/json; charset=utf-8',
    'content-length': String(bytes.length),
    [TOOLBOX_REFUSAL_HEADER]: error.code,
  }
  exchange.respond({ status: error.status, headers })
  if (method === 'HEAD') exchange.end()
  else exchange.end(bytes)
}

/** Returns the method and path of an exchange for a log line. */
export function describeTarget({ head }: IncomingExchange): string {
  return `${head.method} ${head.path.split('?', 1)[0]?.slice(0, 200)}`
}
