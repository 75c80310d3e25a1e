import { AppError } from '@atoll/protocol'

/** The username and password that one call may give to a server. */
export interface GitCredentials {
  readonly username: string
  readonly password: string
  /** The only server that gets them, such as `https://example.com:8443`. */
  readonly origin: string
}

/** The most answers a git process can read: it asks once for each connection, far fewer times than this. */
const MAX_ANSWERS = 16

/** A credential helper that reads one answer, up to its empty line, from descriptor 3, and stores nothing. */
const HELPER =
  '!f() { test "$1" = get || exit 0; while IFS= read -r line <&3 && test -n "$line"; do printf "%s\\n" "$line"; done; }; f'

/** Matches the user info of an HTTP URL, the name and password before its host. */
const HTTP_USER_INFO = /^(https?:\/\/)([^/?#]*)@/i

/**
 * Returns options that make git ask descriptor 3, and no helper of the sandbox, for `origin`'s credentials. So the secret
 * is in no file, and in no argument or variable, which every process of the user can read.
 */
export function credentialOptions({ origin }: GitCredentials): string[] {
  return ['-c', 'credential.helper=', '-c', `credential.${origin}.helper=${HELPER}`]
}

/** Returns the answers to write to descriptor 3. */
export function credentialAnswers({ username, password }: GitCredentials): string {
  return `username=${username}\npassword=${password}\n\n`.repeat(MAX_ANSWERS)
}

/**
 * Returns the credentials for a URL: the given ones, if both are, else those in the URL; undefined for a URL other than
 * HTTP. Throws VALIDATION_FAILED for characters that the protocol between git and its helpers cannot carry.
 */
export function credentialsFor(
  url: string,
  given: { username?: string | undefined; password?: string | undefined },
): GitCredentials | undefined {
  const { origin, protocol } = URL.canParse(url) ? new URL(url) : { origin: '', protocol: '' }
  if (protocol !== 'http:' && protocol !== 'https:') return undefined
  const { username, password } = given.username && given.password ? given : (userInfo(url) ?? {})
  if (username === undefined || password === undefined) return undefined
  if (/[\n\r\0]/.test(username + password)) {
    throw new AppError('VALIDATION_FAILED', 'a username or password must not contain a line break or NUL')
  }
  return { username, password, origin }
}

/** Returns an HTTP URL without its name and password, which git would write into the repository's configuration. */
export function withoutUserInfo(url: string): string {
  return url.replace(HTTP_USER_INFO, '$1')
}

/** Removes secrets from a text that is shown: those of any URL in it, and those of the call. */
export function withoutSecrets(text: string, credentials: GitCredentials | undefined): string {
  const shown = text.replace(/(\b[a-z][a-z0-9+.-]*:\/\/)[^\s/?#'"]*@/gi, '$1')
  const secret = credentials?.password
  if (secret === undefined || secret === '') return shown
  return shown.replaceAll(secret, '***').replaceAll(encodeURIComponent(secret), '***')
}

function userInfo(url: string): { username: string; password: string } | undefined {
  const info = HTTP_USER_INFO.exec(url)?.[2]
  if (info === undefined) return undefined
  const colon = info.indexOf(':')
  const [username, password] = colon === -1 ? [info, ''] : [info.slice(0, colon), info.slice(colon + 1)]
  return { username: decode(username), password: decode(password) }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
