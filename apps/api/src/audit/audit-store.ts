import { and, desc, eq, gte, lt, lte, or, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import type { AuditLogRow } from './audit-table.ts'
import { auditLogs } from './audit-table.ts'

/** One line, before the emails and key marks for its ids are looked up. */
export type AuditEntry = Omit<AuditLogRow, 'actorEmail' | 'apiKeyPrefix' | 'apiKeySuffix' | 'at'> & {
  /** Milliseconds since the epoch, with fractions down to a thousandth. */
  at: number
}

/** The last line of a page. `at` is in microseconds since the epoch. */
export interface AuditPosition {
  at: string
  id: string
}

export interface AuditQuery {
  organizationId: string
  from?: Date | undefined
  to?: Date | undefined
  limit: number
  /** Lists the lines after this one; without it, skips `offset` of the newest lines. */
  after?: AuditPosition | undefined
  offset: number
}

export interface AuditStore {
  /**
   * Writes all lines in one statement, with the current emails of the actors and marks of their keys. A line without an
   * organization goes to the actor's personal one.
   */
  insert(entries: readonly AuditEntry[]): Promise<void>
  /** Returns the lines, newest first. */
  list(query: AuditQuery): Promise<(AuditLogRow & { position: AuditPosition })[]>
  count(query: Pick<AuditQuery, 'organizationId' | 'from' | 'to'>): Promise<number>
}

export function createAuditStore({ db }: Pick<Database, 'db'>): AuditStore {
  return {
    async insert(entries) {
      const rows = JSON.stringify(entries)
      await db.execute(sql`
        insert into audit_logs (
          id, organization_id, actor_id, actor_email, api_key_id, api_key_prefix, api_key_suffix, action, target_type,
          target_id, status_code, error_message, source, ip_address, user_agent, request_id, at)
        select line.id, coalesce(line."organizationId", own.id), line."actorId", coalesce(users.email, ''), line."apiKeyId",
          api_keys.key_prefix, api_keys.key_suffix, line.action, line."targetType", line."targetId", line."statusCode",
          line."errorMessage", line.source, line."ipAddress", line."userAgent", line."requestId", to_timestamp(line.at / 1000)
        from jsonb_to_recordset(${rows}::jsonb) as line(
          id uuid, "organizationId" uuid, "actorId" text, "apiKeyId" uuid, action text, "targetType" text,
          "targetId" text, "statusCode" integer, "errorMessage" text, source text, "ipAddress" text,
          "userAgent" text, "requestId" text, at numeric)
        left join users on users.id = line."actorId"
        left join organizations as own
          on line."organizationId" is null and own.personal and own.created_by = line."actorId"
        left join api_keys on api_keys.id = line."apiKeyId"
        on conflict do nothing`)
    },
    async list(query) {
      const { limit, offset, after } = query
      const micros = sql<string>`(extract(epoch from ${auditLogs.at}) * 1000000)::bigint::text`
      const rows = await db
        .select({ row: auditLogs, at: micros })
        .from(auditLogs)
        .where(and(within(query), after === undefined ? undefined : isAfter(after)))
        .orderBy(desc(auditLogs.at), desc(auditLogs.id))
        .limit(limit)
        .offset(after === undefined ? offset : 0)
      return rows.map(({ row, at }) => ({ ...row, position: { at, id: row.id } }))
    },
    count: (query) => db.$count(auditLogs, within(query)),
  }
}

function within({ organizationId, from, to }: Pick<AuditQuery, 'organizationId' | 'from' | 'to'>) {
  return and(
    eq(auditLogs.organizationId, organizationId),
    from === undefined ? undefined : gte(auditLogs.at, from),
    to === undefined ? undefined : lte(auditLogs.at, to),
  )
}

function isAfter({ at, id }: AuditPosition) {
  const moment = sql`to_timestamp(${at}::numeric / 1000000)`
  return or(lt(auditLogs.at, moment), and(eq(auditLogs.at, moment), lt(auditLogs.id, id)))
}
