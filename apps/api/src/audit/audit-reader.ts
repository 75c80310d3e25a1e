import type { AuditLogLine, AuditLogPage, AuditScenarios, ListAuditLogs } from '@atoll/protocol'
import { AppError, DEFAULT_AUDIT_PAGE_SIZE } from '@atoll/protocol'
import { Type } from 'typebox'
import { Value } from 'typebox/value'
import { isUuid } from '../database/uuid.ts'
import { parseTime } from '../http/time-field.ts'
import type { AuditAction } from './audit-actions.ts'
import type { AuditPosition, AuditStore } from './audit-store.ts'
import type { AuditLogRow } from './audit-table.ts'

const Parts = Type.Tuple([Type.String(), Type.String()])
/** Only numbers that PostgreSQL can hold as a time. */
const MICROSECONDS = /^\d{1,16}$/

/** Reads the audit log. */
export interface AuditReader {
  /**
   * Returns one page, newest first; `nextToken` takes precedence over the number of the page. Throws BAD_REQUEST for a
   * foreign token.
   */
  page(organizationId: string, query: ListAuditLogs): Promise<AuditLogPage>
  /** Returns the actions and target types that the log can hold. */
  scenarios(): AuditScenarios
}

export function createAuditReader(options: {
  store: Pick<AuditStore, 'list' | 'count'>
  actions: () => Iterable<AuditAction>
}): AuditReader {
  const { store, actions } = options
  return {
    async page(organizationId, query) {
      const { page = 1, limit = DEFAULT_AUDIT_PAGE_SIZE, nextToken } = query
      const after = nextToken === undefined ? undefined : readToken(nextToken)
      const span = { organizationId, from: toTime('from', query.from), to: toTime('to', query.to) }
      const [found, total] = await Promise.all([
        store.list({ ...span, limit: limit + 1, offset: (page - 1) * limit, after }),
        store.count(span),
      ])
      const shown = found.slice(0, limit)
      const last = found.length > limit ? shown.at(-1) : undefined
      return {
        items: shown.map(toLine),
        ...{ total, page, totalPages: Math.ceil(total / limit) },
        ...(last === undefined ? {} : { nextToken: writeToken(last.position) }),
      }
    },
    scenarios() {
      const byTarget = new Map<string, Set<string>>()
      for (const { targetType, action } of actions()) {
        byTarget.set(targetType, (byTarget.get(targetType) ?? new Set()).add(action))
      }
      const sorted = [...byTarget].sort(([a], [b]) => (a < b ? -1 : 1))
      return { targets: sorted.map(([targetType, of]) => ({ targetType, actions: [...of].sort() })) }
    },
  }
}

function toTime(field: 'from' | 'to', text: string | undefined): Date | undefined {
  return text === undefined ? undefined : parseTime(`querystring.${field}`, text)
}

function writeToken({ at, id }: AuditPosition): string {
  return Buffer.from(JSON.stringify([at, id])).toString('base64url')
}

function readToken(text: string): AuditPosition {
  const [at, id] = parse(text) ?? ['', '']
  if (!MICROSECONDS.test(at) || !isUuid(id)) throw new AppError('BAD_REQUEST', 'The nextToken is not valid')
  return { at, id }
}

function parse(text: string): [string, string] | undefined {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
    return Value.Check(Parts, parts) ? parts : undefined
  } catch {
    // A text that is no JSON is no token.
    return undefined
  }
}

/** Leaves out the keys of absent optional fields. */
function toLine(row: AuditLogRow): AuditLogLine {
  const { id, actorId, actorEmail, action, targetType, statusCode } = row
  const optional = {
    actorApiKeyPrefix: row.apiKeyPrefix,
    actorApiKeySuffix: row.apiKeySuffix,
    organizationId: row.organizationId,
    targetId: row.targetId,
    errorMessage: row.errorMessage,
    ipAddress: row.ipAddress,
    userAgent: row.userAgent,
    source: row.source,
  }
  const given = Object.entries(optional).filter(([, value]) => value !== null)
  return {
    ...{ id, actorId, actorEmail, action, targetType, statusCode },
    ...Object.fromEntries(given),
    metadata: { requestId: row.requestId },
    createdAt: row.at.toISOString(),
  }
}
