import type { Headers } from './types.ts'

/** Headers about one connection, which no proxy passes on. `expect` was answered by the server that took the request. */
const hopByHop = new Set([
  // No header at all, but a way into the object that holds them.
  '__proto__',
  'connection',
  'expect',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
])

const noNames: ReadonlySet<string> = new Set()

/** As Node gives headers, and as the tunnel carries them. */
type AnyHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/**
 * The headers that travel on: not those about one connection, whether by rule or because `connection` names them,
 * and not those in `dropped`.
 */
export function endToEndHeaders(headers: AnyHeaders, dropped: ReadonlySet<string> = noNames): Headers {
  const named = namedByConnection(headers['connection'])
  const kept: Headers = {}
  for (const name in headers) {
    if (hopByHop.has(name) || dropped.has(name) || named.has(name)) continue
    const value = headers[name]
    if (typeof value === 'string') kept[name] = value
    else if (value !== undefined) kept[name] = [...value]
  }
  return kept
}

function namedByConnection(value: string | readonly string[] | undefined): ReadonlySet<string> {
  if (value === undefined || value === 'keep-alive' || value === 'close') return noNames
  const text = typeof value === 'string' ? value : value.join(',')
  return new Set(text.split(',').map((name) => name.trim().toLowerCase()))
}

/** The length a body is announced to have; undefined if none is, NaN if it makes no sense. */
export function announcedLength(headers: AnyHeaders): number | undefined {
  const value = headers['content-length']
  if (value === undefined) return undefined
  return typeof value === 'string' && /^[0-9]{1,15}$/.test(value) ? Number(value) : Number.NaN
}
