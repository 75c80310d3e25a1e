import { AppError } from '@atoll/protocol'

/** Parses a body as JSON whatever its content type says. Throws INVALID_JSON. */
export function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) throw new AppError('INVALID_JSON', 'the body is empty')
  try {
    // The decoder keeps a byte order mark, and the parser refuses it, because JSON has none.
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes))
  } catch (cause) {
    throw new AppError('INVALID_JSON', 'the body is not valid JSON in UTF-8', { cause })
  }
}
