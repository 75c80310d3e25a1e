import { AppError } from '@atoll/protocol'

/** The times that both PostgreSQL and RFC 3339 can express: years 1 to 9999, in milliseconds since the epoch. */
const FIRST_MS = Date.parse('0001-01-01T00:00:00Z')
const LAST_MS = Date.parse('9999-12-31T23:59:59.999Z')

/**
 * Parses a time. Throws VALIDATION_FAILED for a text that names no moment, such as one within a leap second, and for a
 * time whose offset moves it out of the years that can be stored.
 */
export function parseTime(field: string, text: string): Date {
  const time = new Date(text)
  const isStorable = time.getTime() >= FIRST_MS && time.getTime() <= LAST_MS
  if (!isStorable) throw new AppError('VALIDATION_FAILED', `${field} is not a time`)
  return time
}
