import type { Static } from 'typebox'
import { Type } from 'typebox'

/** Most lines of the audit log on a page, and the number when the caller gives none. */
export const MAX_AUDIT_PAGE_SIZE = 200
export const DEFAULT_AUDIT_PAGE_SIZE = 100

/** Highest page number that can be requested. */
const MAX_PAGE = 1_000_000

const Time = Type.String({ format: 'date-time' })
const Limit = Type.Integer({ minimum: 1, maximum: MAX_AUDIT_PAGE_SIZE, default: DEFAULT_AUDIT_PAGE_SIZE })

/** Query of `GET /audit/organizations/{id}`. */
export const ListAuditLogs = Type.Object({
  page: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_PAGE, default: 1 })),
  limit: Type.Optional(Limit),
  from: Type.Optional(Type.String({ format: 'date-time', maxLength: 64 })),
  to: Type.Optional(Type.String({ format: 'date-time', maxLength: 64 })),
  nextToken: Type.Optional(Type.String({ maxLength: 512, description: 'Of the page before; it goes before `page`' })),
})
export type ListAuditLogs = Static<typeof ListAuditLogs>

/** One change: its actor, its target and its outcome. */
export const AuditLogLine = Type.Object(
  {
    id: Type.String({ format: 'uuid' }),
    actorId: Type.String(),
    actorEmail: Type.String(),
    actorApiKeyPrefix: Type.Optional(Type.String()),
    actorApiKeySuffix: Type.Optional(Type.String()),
    organizationId: Type.Optional(Type.String()),
    action: Type.String(),
    targetType: Type.Optional(Type.String()),
    targetId: Type.Optional(Type.String()),
    statusCode: Type.Optional(Type.Integer({ description: '499: the client left before the answer' })),
    errorMessage: Type.Optional(Type.String()),
    ipAddress: Type.Optional(Type.String()),
    userAgent: Type.Optional(Type.String()),
    source: Type.Optional(Type.String()),
    metadata: Type.Optional(Type.Object({ requestId: Type.String() })),
    createdAt: Time,
  },
  { $id: 'AuditLogLine' },
)
export type AuditLogLine = Static<typeof AuditLogLine>

export const AuditLogPage = Type.Object(
  {
    items: Type.Array(AuditLogLine),
    total: Type.Integer(),
    page: Type.Integer(),
    totalPages: Type.Integer(),
    nextToken: Type.Optional(Type.String()),
  },
  { $id: 'AuditLogPage' },
)
export type AuditLogPage = Static<typeof AuditLogPage>

/** The possible actions in the audit log, by kind of target. */
export const AuditScenarios = Type.Object(
  { targets: Type.Array(Type.Object({ targetType: Type.String(), actions: Type.Array(Type.String()) })) },
  { $id: 'AuditScenarios' },
)
export type AuditScenarios = Static<typeof AuditScenarios>
