import { AppError } from '@atoll/protocol'

/** What one call may answer a server with. */
export interface GitCredentials {
  readonly username: string
  readonly password: string
  /** The only server that is told them, such as `https://example.com:8443`. */
  readonly origin: string
}

/** A process asks once for each connection it makes; far fewer than this. */
const MAX_ANSWERS = 16

/** Reads one answer, up to its empty line, from descriptor 3. Keeps nothing it is told to store. */
const HELPER =
  '!f() { test "$1" = get || exit 0; while IFS= read -r line <&3 && test -n "$line"; do printf "%s\\n" "$line"; done; }; f'

/** The host part in front of which an HTTP URL may hold a name and password. */
const HTTP_USER_INFO = /^(https?:\/\/)([^/?#]*)@/i

/**
 * The options that make git ask descriptor 3, and no helper of the sandbox, for `origin`'s credentials. The secret is
 * in no argument and no variable, which every process of the user can read, and in no file.
 */
export function credentialOptions({ origin }: GitCredentials): string[] {
  return ['-c', 'credential.helper=', '-c', `credential.${origin}.helper=${HELPER}`]
}

/** What descriptor 3 has to say. */
export function credentialAnswers({ username, password }: GitCredentials): string {
  return `username=${username}\npassword=${password}\n\n`.repeat(MAX_ANSWERS)
}

/**
 * The credentials for an URL: those given, if both are, else those the URL holds; undefined for what is not HTTP.
 * Throws VALIDATION_FAILED for what the protocol between git and its helpers cannot carry.
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

/** An HTTP URL without the name and password it may hold: git would write them into the repository's configuration. */
export function withoutUserInfo(url: string): string {
  return url.replace(HTTP_USER_INFO, '$1')
}

/** Takes secrets out of something that is shown: those of any URL in it, and those of the call. */
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
