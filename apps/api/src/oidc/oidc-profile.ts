import { MAX_EMAIL_LENGTH, MAX_USER_NAME_LENGTH } from '@atoll/protocol'

/** A provider's data about a user. */
export interface OidcProfile {
  readonly name: string
  /** Absent when the provider did not give one; its verification is unknown then, too. */
  readonly email: string | undefined
  readonly emailVerified: boolean
}

const UNKNOWN_NAME = 'Unknown'

/** Reads the claims of a token or of a userinfo answer, whatever their content. */
export function toProfile(claims: Readonly<Record<string, unknown>>): OidcProfile {
  const names = [claims['name'], claims['username'], claims['preferred_username']]
  const name = names.map((value) => toText(value, MAX_USER_NAME_LENGTH)).find((text) => text !== undefined)
  const email = toText(claims['email'], MAX_EMAIL_LENGTH)
  // Some providers write the value as text.
  const isVerified = claims['email_verified'] === true || claims['email_verified'] === 'true'
  return { name: name ?? UNKNOWN_NAME, email, emailVerified: email !== undefined && isVerified }
}

/** Returns text that can be stored, cut to the length; undefined when there is none. */
function toText(value: unknown, maxLength: number): string | undefined {
  if (typeof value !== 'string') return undefined
  const text = value.replaceAll('\0', '').trim()
  return text === '' ? undefined : text.slice(0, maxLength)
}
