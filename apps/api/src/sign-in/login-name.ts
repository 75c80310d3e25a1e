/** Normalizes a login for comparison: neither case nor the encoding of a letter makes a difference. */
export function toLogin(text: string): string {
  return text.normalize('NFKC').trim().toLowerCase()
}
