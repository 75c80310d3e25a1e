import { AppError } from '@atoll/protocol'

/** The longest key, in bytes of UTF-8, as in S3. */
const MAX_OBJECT_KEY_BYTES = 1_024

/**
 * Characters that XML cannot hold, so that no answer could name the object; PostgreSQL cannot hold NUL and lone
 * surrogates either.
 */
const UNNAMEABLE = /[\p{Cc}\ufffe\uffff\p{Surrogate}]/u

/**
 * Throws INVALID_OBJECT_KEY unless a key is `<scope>/<rest>`, both not empty, at most MAX_OBJECT_KEY_BYTES long and
 * without control characters. `..` and empty segments have no meaning: no key ever becomes a path.
 */
export function checkObjectKey(key: string): void {
  if (Buffer.byteLength(key) > MAX_OBJECT_KEY_BYTES) {
    throw new AppError('INVALID_OBJECT_KEY', `The key is longer than ${MAX_OBJECT_KEY_BYTES} bytes`)
  }
  if (!isNameable(key)) throw new AppError('INVALID_OBJECT_KEY', 'The key holds a control character')
  const slash = key.indexOf('/')
  if (slash <= 0 || slash === key.length - 1) {
    throw new AppError('INVALID_OBJECT_KEY', 'The key must be a scope, a slash and a name')
  }
}

/** Whether a text could be part of a key. */
export function isNameable(text: string): boolean {
  return !UNNAMEABLE.test(text)
}

/** Returns the scope of a checked key: the part before the first slash. */
export function scopeOf(key: string): string {
  return key.slice(0, key.indexOf('/'))
}

const LAST_CODE_POINT = 0x10ffff
const FIRST_SURROGATE = 0xd800
const LAST_SURROGATE = 0xdfff

/** Returns the first text, by UTF-8 bytes, behind all that begin with `prefix`; undefined when no text is behind them. */
export function firstBehind(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0) ?? 0)
  for (let last = points.pop(); last !== undefined; last = points.pop()) {
    if (last === LAST_CODE_POINT) continue
    const next = last + 1 === FIRST_SURROGATE ? LAST_SURROGATE + 1 : last + 1
    return String.fromCodePoint(...points, next)
  }
  return undefined
}
