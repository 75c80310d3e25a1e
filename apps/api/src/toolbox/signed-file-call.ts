import { createHmac } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { isSameSecret } from './is-same-secret.ts'
import { toolboxTarget } from './toolbox-target.ts'

/** The path that a signed URL may have, by method. */
const SIGNED_OPERATIONS: Readonly<Record<string, string>> = { GET: '/files/download', POST: '/files/upload-v2' }

/** Seconds since the epoch, in ASCII digits: up to the year 33658. Zero: valid until the key is rotated. */
const EXPIRES = /^\d{1,12}$/

/** A request that has the signature of its file instead of a bearer (§20.3). */
export interface SignedFileCall {
  readonly method: string
  /** The signed path; nothing else of the query is passed on. */
  readonly path: string
  readonly expires: string
  readonly signature: string
  /** The request target for the toolbox. */
  readonly target: string
}

/**
 * Reads a signed request. Returns undefined for an unsigned one, or one in a form that no client signs; such a request
 * must have a bearer.
 */
export function signedFileCall(request: FastifyRequest): SignedFileCall | undefined {
  const { method } = request
  const target = toolboxTarget(request)
  const operation = SIGNED_OPERATIONS[method]
  if (operation === undefined || request.headers.authorization !== undefined) return undefined
  if (!target.startsWith(`${operation}?`)) return undefined
  const query = new URLSearchParams(target.slice(operation.length))
  const [path, expires, signature] = ['path', 'expires', 'signature'].map((name) => once(query, name))
  if (path === undefined || expires === undefined || signature === undefined || !EXPIRES.test(expires)) return undefined
  return { method, path, expires, signature, target: `${operation}?path=${encodeURIComponent(path)}` }
}

/** Whether this key signed the call and the signature is valid at `now`, in milliseconds since the epoch. */
export function isSignedBy(signingKey: string, call: SignedFileCall, now: number): boolean {
  const { method, path, expires, signature } = call
  const digest = createHmac('sha256', signingKey).update(`v1:files:${method}:${path}:${expires}`).digest('base64url')
  const seconds = Number(expires)
  return isSameSecret(signature, `v1_${digest}`) && (seconds === 0 || now < seconds * 1000)
}

function once(query: URLSearchParams, name: string): string | undefined {
  const [value, ...others] = query.getAll(name)
  return others.length === 0 ? value : undefined
}
