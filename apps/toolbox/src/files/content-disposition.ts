/**
 * Returns the header that names a download: the whole name percent-encoded (RFC 8187), and before it, for old clients, a
 * plain name in which `_` replaces quotes, backslashes, percent signs and everything outside printable ASCII.
 */
export function contentDisposition(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/gu, '_')
  return `attachment; filename="${plain}"; ${extendedFilename(name)}`
}

/**
 * Returns the header of a part of a form. Clients tell parts by their file name, so the plain name is verbatim too, in
 * UTF-8, with quotes and backslashes escaped; `_` replaces only control characters, which no header can contain.
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

/** Replaces half surrogate pairs, which JSON can contain but UTF-8 cannot. */
function wellFormed(text: string): string {
  return Buffer.from(text).toString()
}
