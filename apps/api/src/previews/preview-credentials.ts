import type { IncomingHttpHeaders } from 'node:http'
import { TOKEN_PARAMETER, withoutSandboxToken } from '../toolbox/sandbox-token.ts'
import type { IsOwnCredential } from './own-credential.ts'

export const PREVIEW_TOKEN_HEADER = 'x-daytona-preview-token'
const COOKIE_PREFIX = 'daytona-sandbox-auth-'

/** The tokens in a request that could open a preview, by their place. */
export interface ShownTokens {
  header: string | undefined
  query: string | undefined
  /** More than one when a page of another host below the same domain has set one, too. */
  cookies: string[]
}

/** Reads the tokens. `target` is the request target as it came. */
export function readShownTokens(target: string, headers: IncomingHttpHeaders, sandboxId: string): ShownTokens {
  const at = target.indexOf('?')
  const query = at < 0 ? null : new URLSearchParams(target.slice(at)).get(TOKEN_PARAMETER)
  const cookies = cookiePairs(headers.cookie)
    .filter(({ name }) => name === COOKIE_PREFIX + sandboxId)
    .map(({ value }) => value)
  return { header: headers[PREVIEW_TOKEN_HEADER]?.toString(), query: query ?? undefined, cookies }
}

/** Writes a cookie that the browser keeps for this host alone, until it closes or the sandbox is started anew. */
export function writeTokenCookie(options: { sandboxId: string; token: string; secure: boolean }): string {
  const { sandboxId, token, secure } = options
  const parts = [`${COOKIE_PREFIX}${sandboxId}=${token}`, 'Path=/', 'HttpOnly', 'SameSite=Lax']
  return [...parts, ...(secure ? ['Secure'] : [])].join('; ')
}

/** Returns the headers that may hold Atoll's own credentials, with only the content meant for the program in the sandbox. */
export function ownHeaders(headers: IncomingHttpHeaders, isOwnCredential: IsOwnCredential) {
  const { authorization, referer } = headers
  const cookie = cookiePairs(headers.cookie)
    .filter(({ name }) => !name.startsWith(COOKIE_PREFIX))
    .map(({ text }) => text)
    .join('; ')
  return {
    ...(cookie === '' ? {} : { cookie }),
    ...(referer === undefined ? {} : { referer: withoutSandboxToken(referer) }),
    ...(authorization === undefined || isOwnCredential(authorization) ? {} : { authorization }),
  }
}

/** Keeps a program's cookies to the host that sets them, and drops those with the name of Atoll's own. */
export function safeSetCookies(given: string | readonly string[] | undefined): string[] {
  return [given ?? []]
    .flat()
    .filter((cookie) => !cookie.trimStart().startsWith(COOKIE_PREFIX))
    .map((cookie) => cookie.replace(/;\s*domain\s*=[^;]*/gi, ''))
}

function cookiePairs(header: string | undefined): { name: string; value: string; text: string }[] {
  return (header ?? '')
    .split(';')
    .map((part) => part.trim())
    .filter((text) => text !== '')
    .map((text) => {
      const at = text.indexOf('=')
      return at < 0 ? { name: '', value: text, text } : { name: text.slice(0, at), value: text.slice(at + 1), text }
    })
}
