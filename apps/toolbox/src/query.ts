import { AppError } from '@atoll/protocol'

/** The longest request target, in characters: two paths of PATH_MAX with every byte percent-encoded, and room. */
export const MAX_TARGET_LENGTH = 28 * 1024
/** The most fields in one query string. */
const MAX_QUERY_FIELDS = 64

const PERCENT = 0x25
const PLUS = 0x2b
const SPACE = 0x20

/** Splits a request target at its first `?`. Throws URI_TOO_LONG. */
export function splitTarget(target: string): { path: string; rawQuery: string } {
  if (target.length > MAX_TARGET_LENGTH) {
    throw new AppError('URI_TOO_LONG', `a request target must not be longer than ${MAX_TARGET_LENGTH} characters`)
  }
  const mark = target.indexOf('?')
  return mark === -1
    ? { path: target, rawQuery: '' }
    : { path: target.slice(0, mark), rawQuery: target.slice(mark + 1) }
}

/**
 * Decodes a query string to bytes, because a file name need not be UTF-8. A name given more than once keeps its first
 * value and is in `repeated`. Throws BAD_REQUEST for a broken percent-escape or more than 64 fields.
 */
export function parseQuery(rawQuery: string): { fields: Map<string, Buffer>; repeated: Set<string> } {
  const fields = new Map<string, Buffer>()
  const repeated = new Set<string>()
  const pieces = rawQuery.split('&', MAX_QUERY_FIELDS + 1).filter((piece) => piece !== '')
  if (pieces.length > MAX_QUERY_FIELDS) {
    throw new AppError('BAD_REQUEST', `a query must not have more than ${MAX_QUERY_FIELDS} fields`)
  }
  for (const piece of pieces) {
    const mark = piece.indexOf('=')
    const name = decode(mark === -1 ? piece : piece.slice(0, mark)).toString()
    if (fields.has(name)) repeated.add(name)
    else fields.set(name, decode(mark === -1 ? '' : piece.slice(mark + 1)))
  }
  return { fields, repeated }
}

/** Decodes `+` to a space, `%XX` to a byte; a character that HTTP hands over undecoded (U+0080 to U+00FF) is its byte. */
function decode(text: string): Buffer {
  const source = /[^\0-\xff]/.test(text) ? Buffer.from(text) : Buffer.from(text, 'latin1')
  const bytes = Buffer.allocUnsafe(source.length)
  let length = 0
  for (let index = 0; index < source.length; index += 1) {
    const byte = source[index] ?? 0
    if (byte === PERCENT) {
      const value = hexDigit(source[index + 1]) * 16 + hexDigit(source[index + 2])
      if (Number.isNaN(value)) throw new AppError('BAD_REQUEST', 'the query has a broken percent-escape')
      bytes[length] = value
      index += 2
    } else {
      bytes[length] = byte === PLUS ? SPACE : byte
    }
    length += 1
  }
  return bytes.subarray(0, length)
}

function hexDigit(byte: number | undefined): number {
  return byte === undefined ? Number.NaN : (HEX_VALUES[byte] ?? Number.NaN)
}

const HEX_VALUES: Record<number, number> = Object.fromEntries(
  [...'0123456789abcdefABCDEF'].map((digit) => [digit.charCodeAt(0), Number.parseInt(digit, 16)]),
)
