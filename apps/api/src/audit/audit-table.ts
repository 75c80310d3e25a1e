import { sql } from 'drizzle-orm'
import { check, index, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** The changes, with their actors and outcomes. There are no foreign keys: a line outlives the rows that it names. */
export const auditLogs = pgTable(
  'audit_logs',
  {
    id: uuid('id').primaryKey(),
    /** Null for a change outside any organization, by an actor without a personal one. */
    organizationId: uuid('organization_id'),
    actorId: text('actor_id').notNull(),
    /** The email at that time. */
    actorEmail: text('actor_email').notNull(),
    apiKeyId: uuid('api_key_id'),
    apiKeyPrefix: text('api_key_prefix'),
    apiKeySuffix: text('api_key_suffix'),
    action: text('action').notNull(),
    targetType: text('target_type').notNull(),
    targetId: text('target_id'),
    statusCode: integer('status_code').notNull(),
    errorMessage: text('error_message'),
    source: text('source'),
    ipAddress: text('ip_address'),
    userAgent: text('user_agent'),
    requestId: text('request_id').notNull(),
    at: timestamp('at', { withTimezone: true }).notNull(),
  },
  (table) => [
    index('audit_logs_organization_index').on(
      table.organizationId,
      table.at.desc().nullsFirst(),
      table.id.desc().nullsFirst(),
    ),
    check('audit_logs_action_check', sql`${table.action} <> ''`),
  ],
)

export type AuditLogRow = typeof auditLogs.$inferSelect
