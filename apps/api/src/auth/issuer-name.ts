/** Issuers are compared without the slash that some write at their end. */
export function trimIssuer(issuer: string): string {
  return issuer.replace(/\/+$/, '')
}
