import { AppError } from '@atoll/protocol'

/** Those whose years PostgreSQL and RFC 3339 know: from the year 1 to 9999, in milliseconds since the epoch. */
const FIRST_MS = Date.parse('0001-01-01T00:00:00Z')
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * Throws VALIDATION_FAILED for a text that names no moment, such as one within a leap second, and for one that its own
 * offset moves out of the years that can be stored.
 */
export function parseTime(field: string, text: string): Date {
  const time = new Date(text)
  const isStorable = time.getTime() >= FIRST_MS && time.getTime() <= LAST_MS
  if (!isStorable) throw new AppError('VALIDATION_FAILED', `${field} is not a time`)
  return time
}
