import { sql } from 'drizzle-orm'
// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { check, foreignKey, integer, pgTable, primaryKey, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'

/**
 * Sandboxes of one snapshot and region that are kept running for whoever asks next: docs/spec/warm-pool.md. No foreign
 * key to the snapshot, which may go before its pools do.
 */
export const warmPools = pgTable(
  'warm_pools',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** Whose members alone serve whose creates; null: the operator's, which serves everybody. */
    organizationId: uuid('organization_id'),
    snapshotId: uuid('snapshot_id').notNull(),
    /** Its region. */
    target: text('target').notNull(),
    /** Members that it shall have: what was asked for or, in the operator's, what was reckoned last. */
    size: integer('size').notNull(),
    /** Why it has fewer. */
    errorReason: text('error_reason'),
    /** No member is made before then. */
    pausedUntil: timestamp('paused_until', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({
      name: 'warm_pools_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }),
    unique('warm_pools_unique').on(table.organizationId, table.snapshotId, table.target).nullsNotDistinct(),
    check('warm_pools_size_check', sql`${table.size} >= 0`),
  ],
)

/** How many creates a pool could have served and did, in spans of `DEMAND_SPAN_MS`. Kept for as long as sizes look back. */
export const warmPoolDemand = pgTable(
  'warm_pool_demand',
  {
    poolId: uuid('pool_id').notNull(),
    /** When the span began. */
    span: timestamp('span', { withTimezone: true }).notNull(),
    claims: integer('claims').notNull(),
    misses: integer('misses').notNull(),
  },
  (table) => [
    primaryKey({ name: 'warm_pool_demand_pk', columns: [table.poolId, table.span] }),
    foreignKey({
      name: 'warm_pool_demand_pool_fk',
      columns: [table.poolId],
      foreignColumns: [warmPools.id],
    }).onDelete('cascade'),
  ],
)

export type WarmPoolRow = typeof warmPools.$inferSelect
