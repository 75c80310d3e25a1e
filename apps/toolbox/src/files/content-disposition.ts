/**
 * The header that names a download: the whole name percent-encoded (RFC 8187), and before it, for old clients, a plain
 * one in which everything outside printable ASCII, quotes and backslashes is `_`.
 */
export function contentDisposition(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]|["\\%]/gu, '_')
  const encoded = encodeURIComponent(name).replace(
    /['()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return `attachment; filename="${plain}"; filename*=UTF-8''${encoded}`
}
