import type { IncomingHttpHeaders } from 'node:http'
import { TOOLBOX_REFUSAL_HEADER } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { ForwardOptions, ForwardOutcome, Headers, ResponseHead } from '@atoll/tunnel'
import { forwardHttp, forwardUpgrade } from '@atoll/tunnel'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { Counter } from 'prom-client'
import type { Metrics } from '../http/metrics.ts'
import type { SandboxActivity } from '../toolbox/sandbox-activity.ts'
import { withoutSandboxToken } from '../toolbox/sandbox-token.ts'
import { takeUpgrade } from '../toolbox/upgrade-requests.ts'
import type { IdleWatch } from './idle-watch.ts'
import type { IsOwnCredential } from './own-credential.ts'
import { answerRefusal } from './preview-answer.ts'
import {
  ownHeaders,
  PREVIEW_TOKEN_HEADER,
  readShownTokens,
  safeSetCookies,
  writeTokenCookie,
} from './preview-credentials.ts'
import type { PreviewHosts } from './preview-hosts.ts'
import type { PreviewRefused } from './preview-refusal.ts'
import { refusals } from './preview-refusal.ts'
import type { OpenPreview } from './preview-service.ts'

/** The longest time until a server's answer begins, and the longest silence in the middle of it. */
const ANSWER_DEADLINE_MS = 300_000
const IDLE_LIMIT_MS = 300_000
/** The idle limit of a WebSocket, where silence is usual. */
const UPGRADED_IDLE_LIMIT_MS = 3_600_000
/** The most simultaneous requests to one sandbox: under a flood its toolbox, which shares the tunnel, stays reachable. */
const MAX_CALLS_PER_SANDBOX = 1_024

/** Newer SDKs reach the toolbox itself as a preview of this port (§1). */
const TOOLBOX_PORT = 2_280
const SWITCHING_PROTOCOLS = 101

/** Request headers that are not passed on, or are written anew. */
const withheld: ReadonlySet<string> = new Set([
  ...['authorization', 'cookie', 'referer', 'forwarded', 'x-real-ip'],
  ...['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-port', 'x-forwarded-proto'],
  ...[PREVIEW_TOKEN_HEADER, 'x-daytona-skip-preview-warning', 'x-daytona-organization-id'],
])

export interface PreviewForwardOptions {
  hosts: Pick<PreviewHosts, 'isSecure'>
  activity: Pick<SandboxActivity, 'record'>
  isOwnCredential: IsOwnCredential
  idleWatch: IdleWatch
  log: Logger
  metrics: Pick<Metrics, 'registry'>
  /** Milliseconds since the epoch. */
  now: () => number
  answerDeadlineMs?: number
}

export interface PreviewCall {
  readonly request: FastifyRequest
  readonly reply: FastifyReply
  /** The request target as the client sent it. */
  readonly target: string
  readonly port: number
}

/** Passes one admitted request on to a server in a sandbox. It takes the reply over and answers in every case. */
export type PreviewForward = (preview: OpenPreview, call: PreviewCall) => void

export function createPreviewForward(options: PreviewForwardOptions): PreviewForward {
  const { hosts, activity, idleWatch, log, now, answerDeadlineMs = ANSWER_DEADLINE_MS } = options
  const calls = new Map<string, number>()
  const outcomes = new Counter({
    name: 'atoll_preview_calls_total',
    help: 'Requests passed on to servers in sandboxes, by how they ended',
    labelNames: ['outcome'],
    registers: [options.metrics.registry],
  })

  /** Counts a call; returns false when the sandbox has the most calls already. */
  function begin(sandboxId: string): boolean {
    const running = calls.get(sandboxId) ?? 0
    if (running >= MAX_CALLS_PER_SANDBOX) return false
    calls.set(sandboxId, running + 1)
    return true
  }

  function finish(sandboxId: string): void {
    const left = (calls.get(sandboxId) ?? 1) - 1
    if (left === 0) calls.delete(sandboxId)
    else calls.set(sandboxId, left)
  }

  return (preview, call) => {
    const { sandboxId, peer } = preview
    const { request, reply } = call
    if (!begin(sandboxId)) return answerRefusal(call, refusals.tooMany(), now())
    const upgrade = takeUpgrade(request.raw)
    let refused: PreviewRefused | undefined
    let unwatch: () => void = () => undefined

    const conclude = (outcome: ForwardOutcome) => {
      finish(sandboxId)
      unwatch()
      outcomes.inc({ outcome: outcome.kind })
      // Sets the status for the request observer, since an upgrade writes outside the response.
      if (outcome.kind === 'answered') reply.raw.statusCode = outcome.status
      else if (outcome.kind === 'refused') answerRefusal(call, refused ?? refusals.brokenOff(), now())
      else if (outcome.kind === 'failed') {
        log.info({ err: outcome.error, requestId: request.id, sandboxId }, 'a preview call failed')
        answerRefusal(call, refusalOf(outcome), now())
      }
    }

    const acceptResponse = (head: ResponseHead): boolean => {
      refused = toolboxRefusal(head, call.port)
      if (refused !== undefined) return false
      adaptResponse(head.headers, { preview, call, secure: hosts.isSecure(request) })
      const limitMs = head.status === SWITCHING_PROTOCOLS ? UPGRADED_IDLE_LIMIT_MS : IDLE_LIMIT_MS
      unwatch = idleWatch.add({ socket: request.raw.socket, limitMs, onMoved: () => activity.record(sandboxId) })
      return true
    }

    const forwarding: ForwardOptions = {
      path: pathInSandbox(call),
      headers: requestHeaders(request, options),
      dropHeaders: withheld,
      ...{ acceptResponse, answerDeadlineMs, onOutcome: conclude },
    }
    if (upgrade === undefined) return forwardHttp(peer, { req: request.raw, res: reply.raw }, forwarding)
    // Set beforehand: joined streams end with their socket, when the status can no longer be set.
    reply.raw.statusCode = SWITCHING_PROTOCOLS
    forwardUpgrade(peer, { req: request.raw, ...upgrade }, forwarding)
  }
}

function pathInSandbox({ target, port }: PreviewCall): string {
  const path = withoutSandboxToken(target)
  return port === TOOLBOX_PORT ? path : `/proxy/${port}${path}`
}

function requestHeaders(
  request: FastifyRequest,
  { hosts, isOwnCredential }: Pick<PreviewForwardOptions, 'hosts' | 'isOwnCredential'>,
): Headers {
  const { headers, ip }: { headers: IncomingHttpHeaders; ip?: string | undefined } = request
  return {
    ...ownHeaders(headers, isOwnCredential),
    'x-forwarded-host': headers.host ?? '',
    'x-forwarded-proto': hosts.isSecure(request) ? 'https' : 'http',
    'x-forwarded-for': ip ?? '',
  }
}

/** Keeps cookies and redirects of a program within its own host, and stores a token from the query in a cookie. */
function adaptResponse(
  headers: Headers,
  { preview, call, secure }: { preview: OpenPreview; call: PreviewCall; secure: boolean },
): void {
  const { request, port, target } = call
  delete headers[TOOLBOX_REFUSAL_HEADER]
  const cookies = safeSetCookies(headers['set-cookie'])
  delete headers['set-cookie']
  if (preview.admission === 'query') {
    const { query } = readShownTokens(target, {}, preview.sandboxId)
    cookies.push(writeTokenCookie({ sandboxId: preview.sandboxId, token: query ?? '', secure }))
  }
  if (cookies.length > 0) headers['set-cookie'] = cookies
  const { location } = headers
  if (typeof location === 'string') {
    const here = `${secure ? 'https' : 'http'}://${request.headers.host ?? ''}`
    // A program that is asked as localhost redirects its visitors there.
    headers['location'] = location.replace(
      new RegExp(`^https?://(?:localhost|127\\.0\\.0\\.1):${port}(?=[/?#]|$)`),
      here,
    )
  }
}

/** Returns the refusal that stands for the toolbox's own reason not to pass the request on. */
function toolboxRefusal({ headers }: ResponseHead, port: number): PreviewRefused | undefined {
  const code = headers[TOOLBOX_REFUSAL_HEADER]
  // On its own port the toolbox's answers are passed on unchanged.
  if (code === undefined || port === TOOLBOX_PORT) return undefined
  if (code === 'PORT_UNREACHABLE') return refusals.nothingListens(port)
  return code === 'GATEWAY_TIMEOUT' ? refusals.tooSlow() : refusals.brokenOff()
}

function refusalOf({ error }: Extract<ForwardOutcome, { kind: 'failed' }>): PreviewRefused {
  switch (error.code) {
    case 'LINK_CLOSED':
    case 'LINK_TIMEOUT':
    case 'PROTOCOL_ERROR':
    case 'VERSION_MISMATCH':
      return refusals.unreachable()
    case 'TOO_MANY_STREAMS':
      return refusals.tooMany()
    case 'HEAD_TOO_LARGE':
      return refusals.badRequest('The headers of the request are too large to pass on.')
    case 'DEADLINE_EXCEEDED':
      return refusals.tooSlow()
    case 'CANCELLED':
    case 'HANDLER_FAILED':
    case 'BODY_TOO_LARGE':
      return refusals.brokenOff()
  }
}
