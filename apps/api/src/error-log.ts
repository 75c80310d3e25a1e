import type { Logger } from '@atoll/service'
import { createLogger } from '@atoll/service'

/** The most causes of an error that are written, so that an error that is its own cause ends as well. */
const MAX_CAUSES = 5

/** Describes an error for the log without the parameters of a query: they are a user's values, or secret. */
export function describeError(error: unknown, depth = 0): unknown {
  if (!(error instanceof Error)) return error
  const message = withoutValues(error.message)
  return {
    type: error.name,
    message,
    stack: (error.stack ?? '').replace(error.message, message),
    ...('code' in error ? { code: error.code } : {}),
    ...(error.cause !== undefined && depth < MAX_CAUSES ? { cause: describeError(error.cause, depth + 1) } : {}),
  }
}

/** drizzle ends its messages with the parameters of the query. */
function withoutValues(message: string): string {
  return message.replace(/\nparams: [\s\S]*$/, '')
}

/** A logger of one of the API's programs. */
export function createApiLogger(name: string): Logger {
  return createLogger(name, 'info').child({}, { serializers: { err: (error) => describeError(error) } })
}
