const SLASH = 47

/**
 * Removes the slashes that some issuers' names end in, so that names can be compared. A loop does this because the text
 * is not trusted: a regular expression would start anew at every slash.
 */
export function trimIssuer(issuer: string): string {
  let end = issuer.length
  while (end > 0 && issuer.charCodeAt(end - 1) === SLASH) end -= 1
  return issuer.slice(0, end)
}
