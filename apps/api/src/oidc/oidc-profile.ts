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
  const name = names.map(toText).find((text) => text !== undefined)
  const text = toText(claims['email'])
  // The beginning of a longer address could be another user's.
  const email = text !== undefined && text.length <= MAX_EMAIL_LENGTH ? text : undefined
  // Some providers write the value as text.
  const isVerified = claims['email_verified'] === true || claims['email_verified'] === 'true'
  return {
    name: name?.slice(0, MAX_USER_NAME_LENGTH) ?? UNKNOWN_NAME,
    email,
    emailVerified: email !== undefined && isVerified,
  }
}

/** Returns text that can be stored; undefined when there is none. */
function toText(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined
  const text = value.replaceAll('\0', '').trim()
  return text === '' ? undefined : text
}
