const SLASH = 47

/**
 * Issuers are compared without the slashes that some write at their end. By hand, since they are strangers' text: an
 * expression would begin anew at each of the slashes that there may be before.
 */
export function trimIssuer(issuer: string): string {
  let end = issuer.length
  while (end > 0 && issuer.charCodeAt(end - 1) === SLASH) end -= 1
  return issuer.slice(0, end)
}
