/**
 * The header that names a download: the whole name percent-encoded (RFC 8187), and before it, for old clients, a plain
 * one in which everything outside printable ASCII, quotes and backslashes is `_`.
 */
export function contentDisposition(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/gu, '_')
  return `attachment; filename="${plain}"; ${extendedFilename(name)}`
}

/**
 * The same for a part of a form. Clients tell parts by their file name, so the plain one is verbatim too, in UTF-8,
 * with quotes and backslashes escaped; only control characters, which no header can hold, are `_`.
 */
export function partDisposition(field: string, filename: string): string {
  const plain = wellFormed(filename)
    .replace(/\p{Cc}/gu, '_')
    .replace(/["\\]/g, '\\$&')
  return `form-data; name="${field}"; filename="${plain}"; ${extendedFilename(filename)}`
}

function extendedFilename(name: string): string {
  const encoded = encodeURIComponent(wellFormed(name)).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `filename*=UTF-8''${encoded}`
}

/** JSON can hold half a surrogate pair, which UTF-8 cannot. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString()
}
