import { TunnelError, violation } from './tunnel-error.ts'
import type { Headers, RequestHead, ResponseHead } from './types.ts'

/*
 * A head travels as text in latin1, like in HTTP. Line feeds, which HTTP allows in no field, separate the fields:
 * `method LF path` or `status`, then `LF name LF value` for each header line.
 */

const FIELD_SEPARATOR = '\n'

/** Matches a character that a head, its fields joined, may not hold. */
const forbiddenInHead = /[^\n\t\x20-\x7e\x80-\xff]/

const headerName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
const methodToken = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const statusNumber = /^[1-5][0-9][0-9]$/
const targetWithoutSpace = /^[^\n\t ]+$/

/** Encodes a request head. Throws a TypeError for one that HTTP could not carry. */
export function encodeRequestHead(head: RequestHead): string {
  if (!methodToken.test(head.method)) throw new TypeError('a request method must be a token')
  if (!targetWithoutSpace.test(head.path)) throw new TypeError('a request path must not be empty or hold spaces')
  return checked(`${head.method}${FIELD_SEPARATOR}${head.path}${encodeHeaders(head.headers)}`)
}

/** Encodes a response head. Throws a TypeError for one that HTTP could not carry. */
export function encodeResponseHead(head: ResponseHead): string {
  const status = String(head.status)
  if (!statusNumber.test(status)) throw new TypeError('a response status must be from 100 to 599')
  return checked(status + encodeHeaders(head.headers))
}

/** Decodes a request head. Throws a violation for anything that `encodeRequestHead` does not make. */
export function decodeRequestHead(text: string): RequestHead {
  const fields = splitHead(text)
  const [method = '', path = ''] = fields
  if (!methodToken.test(method) || !targetWithoutSpace.test(path)) throw violation('a request head is malformed')
  return { method, path, headers: decodeHeaders(fields, 2) }
}

/** Decodes a response head. Throws a violation for anything that `encodeResponseHead` does not make. */
export function decodeResponseHead(text: string): ResponseHead {
  const fields = splitHead(text)
  const [status = ''] = fields
  if (!statusNumber.test(status)) throw violation('a response head is malformed')
  return { status: Number(status), headers: decodeHeaders(fields, 1) }
}

function checked(text: string): string {
  if (forbiddenInHead.test(text)) throw new TypeError('a head holds a character that HTTP does not allow')
  return text
}

function encodeHeaders(headers: Headers): string {
  let text = ''
  for (const name in headers) {
    const value = headers[name]
    if (value === undefined) continue
    if (!headerName.test(name)) throw new TypeError(`not a lower-case header name: ${JSON.stringify(name)}`)
    if (typeof value === 'string') text += encodeHeader(name, value)
    else for (const item of value) text += encodeHeader(name, item)
  }
  return text
}

function encodeHeader(name: string, value: string): string {
  if (value.includes(FIELD_SEPARATOR)) throw new TypeError(`the value of header ${name} holds a line feed`)
  return FIELD_SEPARATOR + name + FIELD_SEPARATOR + value
}

function splitHead(text: string): string[] {
  if (forbiddenInHead.test(text)) throw violation('a head holds a forbidden character')
  return text.split(FIELD_SEPARATOR)
}

function decodeHeaders(fields: string[], first: number): Headers {
  if ((fields.length - first) % 2 !== 0) throw violation('a head has a header name without a value')
  // No prototype: a header may be called `constructor` or `__proto__`.
  const headers: Headers = Object.create(null)
  for (let index = first; index < fields.length; index += 2) {
    const name = fields[index] ?? ''
    const value = fields[index + 1] ?? ''
    if (!headerName.test(name)) throw violation('a header name is not a lower-case token')
    const earlier = headers[name]
    if (earlier === undefined) headers[name] = value
    else if (typeof earlier === 'string') headers[name] = [earlier, value]
    else earlier.push(value)
  }
  return headers
}

/** Throws HEAD_TOO_LARGE if an encoded head is over `maxBytes`. */
export function checkHeadSize(text: string, maxBytes: number): void {
  if (text.length > maxBytes) {
    throw new TunnelError('HEAD_TOO_LARGE', `a head has ${text.length} bytes; at most ${maxBytes} are allowed`)
  }
}
