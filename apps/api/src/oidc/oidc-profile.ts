import { MAX_EMAIL_LENGTH, MAX_USER_NAME_LENGTH } from '@atoll/protocol'

/** What a provider says about somebody. */
export interface OidcProfile {
  readonly name: string
  /** Absent when the provider did not say; then nothing is known about its verification either. */
  readonly email: string | undefined
  readonly emailVerified: boolean
}

const UNKNOWN_NAME = 'Unknown'

/** Reads the claims of a token or of a userinfo answer, whatever they hold. */
export function toProfile(claims: Readonly<Record<string, unknown>>): OidcProfile {
  const names = [claims['name'], claims['username'], claims['preferred_username']]
  const name = names.map((value) => toText(value, MAX_USER_NAME_LENGTH)).find((text) => text !== undefined)
  const email = toText(claims['email'], MAX_EMAIL_LENGTH)
  // Some providers write it as text.
  const isVerified = claims['email_verified'] === true || claims['email_verified'] === 'true'
  return { name: name ?? UNKNOWN_NAME, email, emailVerified: email !== undefined && isVerified }
}

/** Text that can be stored; too long a name is cut, too long an address is none. */
function toText(value: unknown, maxLength: number): string | undefined {
  if (typeof value !== 'string') return undefined
  const text = value.replaceAll('\0', '').trim()
  return text === '' ? undefined : text.slice(0, maxLength)
}
