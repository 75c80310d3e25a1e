import { sql } from 'drizzle-orm'
// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { check, foreignKey, integer, pgTable, primaryKey, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'

/**
 * Warm pools: sandboxes of one snapshot and region that are kept running for later creates (docs/spec/warm-pool.md). No
 * foreign key to the snapshot, which may go before its pools do.
 */
export const warmPools = pgTable(
  'warm_pools',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** The organization whose creates the pool serves; null for an operator's pool, which serves every organization. */
    organizationId: uuid('organization_id'),
    snapshotId: uuid('snapshot_id').notNull(),
    /** The region of the pool. */
    target: text('target').notNull(),
    /** The number of members that the pool shall have: as requested or, in an operator's pool, as last computed. */
    size: integer('size').notNull(),
    /** Why the pool has fewer members. */
    errorReason: text('error_reason'),
    /** The time before which no member is made. */
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

/**
 * Creates that a pool served (`claims`) or could have served (`misses`), in spans of `DEMAND_SPAN_MS`. Rows are kept
 * for as long as sizes look back.
 */
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
