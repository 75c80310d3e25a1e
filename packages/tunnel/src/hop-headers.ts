import type { Headers } from './types.ts'

/** Headers about one connection, which no proxy passes on. The server that took the request has answered `expect`. */
const hopByHop = new Set([
  // Not a header: as a key it would set the prototype of the object that holds the headers.
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

/** Headers in Node's form or in the tunnel's. */
type AnyHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

/**
 * Returns the headers that are passed on: all except those in `dropped` and those about one connection, by rule or
 * because `connection` names them.
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

/** Returns the announced length of the body; undefined if there is none, NaN if it is invalid. */
export function announcedLength(headers: AnyHeaders): number | undefined {
  const value = headers['content-length']
  if (value === undefined) return undefined
  return typeof value === 'string' && /^[0-9]{1,15}$/.test(value) ? Number(value) : Number.NaN
}
