import { AppError, MAX_ENV_BYTES, MAX_ENV_VARIABLES, MAX_LABELS, MAX_LABELS_BYTES } from '@atoll/protocol'

/** The prefix of the variables that Atoll's own programs in a sandbox use. */
const RESERVED_ENV_PREFIX = 'ATOLL_'

/** Characters that neither an environment nor PostgreSQL can hold: NUL and lone surrogates. */
const UNSTORABLE = /[\0\p{Surrogate}]/u

interface Bounds {
  field: string
  maxEntries: number
  maxBytes: number
}

/** Throws VALIDATION_FAILED for an environment that is too large or that no process could have. */
export function checkEnv(env: Record<string, string>): void {
  checkSize(env, { field: 'env', maxEntries: MAX_ENV_VARIABLES, maxBytes: MAX_ENV_BYTES })
  for (const name of Object.keys(env)) {
    if (name === '' || name.includes('=')) throw invalid(`env has a variable with the impossible name ${quote(name)}`)
    if (name.startsWith(RESERVED_ENV_PREFIX)) throw invalid(`env.${name}: names beginning with ATOLL_ are reserved`)
  }
}

/** Throws VALIDATION_FAILED for labels that are too many or too large. */
export function checkLabels(labels: Record<string, string>): void {
  checkSize(labels, { field: 'labels', maxEntries: MAX_LABELS, maxBytes: MAX_LABELS_BYTES })
}

export function isStorable(text: string): boolean {
  return !UNSTORABLE.test(text)
}

/** Throws VALIDATION_FAILED for text that cannot be stored. */
export function checkText(field: string, text: string): void {
  if (!isStorable(text)) throw invalid(`${field} holds a NUL or half of a surrogate pair`)
}

function checkSize(map: Record<string, string>, { field, maxEntries, maxBytes }: Bounds): void {
  const entries = Object.entries(map)
  if (entries.length > maxEntries) {
    throw invalid(`${field} has ${entries.length} entries; at most ${maxEntries} are allowed`)
  }
  let bytes = 0
  for (const [key, value] of entries) {
    checkText(field, key)
    checkText(field, value)
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value)
  }
  if (bytes > maxBytes) throw invalid(`${field} takes ${bytes} bytes; at most ${maxBytes} are allowed`)
}

function quote(text: string): string {
  return JSON.stringify(text.slice(0, 64))
}

function invalid(message: string): AppError {
  return new AppError('VALIDATION_FAILED', message)
}
