import { randomUUID } from 'node:crypto'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import fastifyPlugin from 'fastify-plugin'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import type { Caller } from '../auth/principal.ts'
import { isPrincipal } from '../auth/principal.ts'
import { isUuid } from '../database/uuid.ts'
import { toAppError } from '../http/error-handler.ts'
import type { AuditAction } from './audit-actions.ts'
import { auditActionOf } from './audit-actions.ts'
import type { AuditLog } from './audit-log.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The facts for the line that the request itself does not hold; undefined for a call that changes nothing. */
    audit: AuditNotes | undefined
  }
}

export interface AuditNotes {
  /** The user concerned by a call without a credential; without it such a call leaves no line. */
  actorId?: string | undefined
  /** Whether the whole answer was handed to the network. */
  isAnswered?: boolean
  /** The id of a new resource, which no path names. */
  targetId?: string | undefined
  /** The organization, where it is not that of the principal. */
  organizationId?: string | undefined
  errorMessage?: string | undefined
}

export interface AuditedOptions {
  audit: Pick<AuditLog, 'record'>
  /** Called with each action that a route has. */
  onAction?: (action: AuditAction) => void
  /** Milliseconds since the epoch. */
  now: () => number
}

const PREFIX = /^\/api(?=\/)/
const MAX_TEXT_LENGTH = 512
/** The smallest difference between two times in PostgreSQL. */
const TICK_MS = 0.001
/** The furthest that their order takes lines ahead of the clock; a line still further ahead is from before the clock was set back. */
const MAX_AHEAD_MS = 1_000
/** Characters that neither text nor JSON of PostgreSQL can hold: NUL and lone surrogates. */
const UNSTORABLE = /[\0\p{Surrogate}]/gu
/** The status of a call whose client left before the answer; the change may have been made all the same. */
const CLIENT_LEFT = 499

/** The fields of an answer that name the changed resource. */
const Answer = Type.Object({
  id: Type.Optional(Type.String()),
  name: Type.Optional(Type.String()),
  organizationId: Type.Optional(Type.String()),
})

/**
 * Writes a line for each call of its scope that changes something and has a valid credential, even when it is refused;
 * of calls without one, for those whose handler notes an actor. Register it before `authenticated`. It notes neither
 * bodies nor tokens, and no calls that are passed on to a toolbox.
 */
export const audited = fastifyPlugin<AuditedOptions>(
  async (app: FastifyInstance, { audit, onAction, now }) => {
    const actions = new Map<string, AuditAction>()
    let lastAt = 0
    app.decorateRequest('audit')
    app.addHook('onRoute', ({ config, method, url }) => {
      if (config?.proxied) return
      for (const each of [method].flat()) {
        const action = auditActionOf(each, url.replace(PREFIX, ''))
        if (action === undefined) continue
        actions.set(`${each} ${url}`, action)
        onAction?.(action)
      }
    })
    app.addHook('onRequest', async (request, reply) => {
      const action = actions.get(`${request.method} ${request.routeOptions.url}`)
      if (action === undefined) return
      const notes: AuditNotes = {}
      request.audit = notes
      const time = now()
      // The lines of one replica are in the order of their calls, even within a millisecond.
      const at = lastAt - time < MAX_AHEAD_MS ? Math.max(time, lastAt + TICK_MS) : time
      lastAt = at
      reply.raw.once('finish', () => {
        notes.isAnswered = true
      })
      // `close` comes last, whether or not the client waited for the answer.
      reply.raw.once('close', () => {
        const actorId = actorOf(request)
        if (actorId === undefined) return
        const facts = { ...describe(request, reply), ...whose(request, action, actorId) }
        audit.record({ id: randomUUID(), at, actorId, ...action, ...facts })
      })
    })
    app.addHook('preSerialization', async ({ audit: notes }, reply, payload) => {
      if (notes === undefined || reply.statusCode >= 400 || !Value.Check(Answer, payload)) return payload
      notes.targetId ??= payload.id ?? payload.name
      notes.organizationId ??= payload.organizationId
      return payload
    })
    app.addHook('onError', async ({ audit: notes }, _reply, error) => {
      if (notes !== undefined) notes.errorMessage = toAppError(error).message
    })
  },
  { name: 'audited' },
)

/** Returns undefined where no credential is required, or none was valid. */
function callerOf({ caller }: { caller?: Caller }): Caller | undefined {
  return caller
}

function actorOf(request: FastifyRequest): string | undefined {
  return callerOf(request)?.userId ?? request.audit?.actorId
}

function describe(request: FastifyRequest, reply: FastifyReply) {
  const { headers } = request
  const left = request.audit?.isAnswered !== true
  const message = left ? 'The client left before the answer' : request.audit?.errorMessage
  return {
    apiKeyId: callerOf(request)?.apiKeyId ?? null,
    statusCode: left ? CLIENT_LEFT : reply.raw.statusCode,
    errorMessage: storable(message),
    source: storable(headers['x-daytona-source']?.toString()),
    ipAddress: storable(request.ip),
    userAgent: storable(headers['user-agent']),
    requestId: request.id,
  }
}

function whose(request: FastifyRequest, { action, targetType }: AuditAction, actorId: string) {
  const { audit: notes } = request
  const { organizationId: inPath, ...others } = (request.params ?? {}) as Record<string, string>
  const named = targetType === 'organization' ? inPath : mainOf(targetType, Object.values(others))
  const isNew = action === 'create'
  // A call on a user that names none is about the caller.
  const targetId = named ?? notes?.targetId ?? (targetType === 'user' && !isNew ? actorId : undefined)
  const isOfItself = targetType === 'organization' && isNew
  const organizationId = isOfItself ? targetId : (notes?.organizationId ?? actingIn(request, inPath))
  return {
    targetId: storable(targetId),
    organizationId: organizationId !== undefined && isUuid(organizationId) ? organizationId : null,
  }
}

/**
 * Returns the part of a path that names the target: the first, since later ones say more; the last for keys and
 * accounts, which two parts name.
 */
function mainOf(targetType: string, parts: readonly string[]): string | undefined {
  return targetType === 'api_key' || targetType === 'user' ? parts.at(-1) : parts[0]
}

/** Returns the caller's organization in the call; never one that the path names and the caller has no access to. */
function actingIn(request: FastifyRequest, inPath: string | undefined): string | undefined {
  const caller = callerOf(request)
  if (caller === undefined) return undefined
  if (inPath !== undefined && caller.systemRole === 'admin') return inPath
  const principal = request.principal ?? (isPrincipal(caller) ? caller : undefined)
  return principal?.organizationId
}

function storable(text: string | undefined): string | null {
  return text === undefined ? null : text.slice(0, MAX_TEXT_LENGTH).replaceAll(UNSTORABLE, '\ufffd')
}
