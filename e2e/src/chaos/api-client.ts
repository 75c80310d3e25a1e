import type { Tally } from './tally.ts'

/** What a client may wait for, by kind of call, in milliseconds: what Atoll promises at worst. */
const PROMISED_MS = {
  /** A statement waits for locks for at most 30 s, and 5 s for its connection. */
  quick: 35_000,
  /** Creating and starting wait 30 s for the sandbox, between two transactions. */
  start: 30_000 + 2 * 35_000,
  /** A toolbox that says nothing is given up 45 s after its last sign of life, and asked for one every 15 s. */
  toolbox: 60_000,
} as const

/** On top of that where no fault slows anything, in milliseconds. */
const CALM_SLACK_MS = 10_000

/** What an error is answered with that no part of Atoll has thought of: no fault explains it. */
const UNKNOWN_ERROR = 'INTERNAL_SERVER_ERROR'

export type Promised = keyof typeof PROMISED_MS

export interface CallOptions {
  /** What it is counted as. */
  operation: string
  promised: Promised
  /** A JSON body, or a form. */
  body?: object | FormData
  /** Milliseconds that a command may take beside. */
  extraMs?: number
  /** The code of a failure that is as it should be. */
  expected?: string
}

export type Outcome =
  | { kind: 'ok'; status: number; bytes: Buffer }
  | { kind: 'refused'; status: number; code: string; message: string }
  /** Nobody knows whether it happened. */
  | { kind: 'failed'; why: string; code?: string }

export interface ApiClient {
  /** Never throws: a call that hangs is a problem of the tally's, and has failed. */
  call(method: string, path: string, options: CallOptions): Promise<Outcome>
}

export interface ApiClientOptions {
  url: () => string
  apiKey: string
  tally: Tally
  /** On top of what is promised, in milliseconds: the faults' own time, and a busy machine. */
  slackMs: number
  /** Whether no fault explains a call that fails. */
  isCalm: () => boolean
}

export function createApiClient({ url, apiKey, tally, slackMs, isCalm }: ApiClientOptions): ApiClient {
  function noteFailure(where: string, { why, code }: Extract<Outcome, { kind: 'failed' }>): void {
    if (isCalm()) tally.problem(`failed in the calm: ${where}: ${why}`)
    else if (code === UNKNOWN_ERROR) tally.problem(`an error that nobody thought of: ${where}: ${why}`)
  }
  return {
    async call(method, path, { operation, promised, body, extraMs = 0, expected }) {
      const patienceMs = isCalm() ? Math.min(slackMs, CALM_SLACK_MS) : slackMs
      const deadlineMs = PROMISED_MS[promised] + patienceMs + extraMs
      const begunAt = performance.now()
      const deadline = AbortSignal.timeout(deadlineMs)
      const outcome = await send(`${url()}/api${path}`, { method, signal: deadline, ...contentOf(body, apiKey) })
      const ms = performance.now() - begunAt
      const isHung = outcome.kind === 'failed' && deadline.aborted
      tally.call(operation, isHung ? 'hung' : outcome.kind, ms)
      if (outcome.kind === 'refused') tally.reason(`${operation}: ${outcome.status} ${outcome.code} ${outcome.message}`)
      if (outcome.kind === 'failed') tally.reason(`${operation}: ${outcome.why}`)
      const where = `${operation} (${method} ${path})`
      if (isHung) tally.problem(`hung: ${where} had no answer after ${deadlineMs / 1000} s`)
      else if (outcome.kind === 'failed' && (expected === undefined || outcome.code !== expected))
        noteFailure(where, outcome)
      return outcome
    },
  }
}

/** The body as JSON; undefined when it is none. */
export function jsonOf(outcome: Outcome): Record<string, unknown> | undefined {
  if (outcome.kind !== 'ok') return undefined
  return parse(outcome.bytes.toString())
}

async function send(url: string, init: RequestInit): Promise<Outcome> {
  try {
    const response = await fetch(url, init)
    const bytes = Buffer.from(await response.arrayBuffer())
    const { status } = response
    if (status < 300) return { kind: 'ok', status, bytes }
    const { code, message } = parse(bytes.toString()) ?? {}
    if (status < 500) return { kind: 'refused', status, code: String(code), message: String(message) }
    return { kind: 'failed', why: `${status} ${code}: ${message}`, code: String(code) }
  } catch (error) {
    const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    return { kind: 'failed', why: code }
  }
}

function contentOf(body: CallOptions['body'], apiKey: string): RequestInit {
  const authorization = `Bearer ${apiKey}`
  if (body === undefined || body instanceof FormData) {
    return { headers: { authorization }, ...(body === undefined ? {} : { body }) }
  }
  return { headers: { authorization, 'content-type': 'application/json' }, body: JSON.stringify(body) }
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    // Not JSON: the caller has no use for it.
    return undefined
  }
}
