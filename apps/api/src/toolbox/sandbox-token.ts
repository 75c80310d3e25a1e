import type { FastifyRequest } from 'fastify'
import { isUpgrade } from './upgrade-requests.ts'

/** The query parameter with a sandbox's token: a browser can set no header on a WebSocket (§13, §20.3). */
export const TOKEN_PARAMETER = 'DAYTONA_SANDBOX_AUTH_KEY'

/** Returns the token that a WebSocket request has instead of a bearer. Any other request must have a bearer. */
export function sandboxToken(request: FastifyRequest): string | undefined {
  if (request.headers.authorization !== undefined || !isUpgrade(request.raw)) return undefined
  if (request.headers.upgrade?.toLowerCase() !== 'websocket') return undefined
  const url = request.raw.url ?? ''
  const at = url.indexOf('?')
  return at < 0 ? undefined : (new URLSearchParams(url.slice(at)).get(TOKEN_PARAMETER) ?? undefined)
}

/** Returns the request target without the token, otherwise byte for byte the same. */
export function withoutSandboxToken(target: string): string {
  const at = target.indexOf('?')
  if (at < 0) return target
  const all = target.slice(at + 1).split('&')
  const kept = all.filter((pair) => !new URLSearchParams(pair).has(TOKEN_PARAMETER))
  if (kept.length === all.length) return target
  return kept.length === 0 ? target.slice(0, at) : `${target.slice(0, at)}?${kept.join('&')}`
}
