/** What a login is compared as: neither case nor how a letter is encoded makes a difference. */
export function toLogin(text: string): string {
  return text.normalize('NFKC').trim().toLowerCase()
}
