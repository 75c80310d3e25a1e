import { sql } from 'drizzle-orm'
import { check, doublePrecision, pgTable, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'

/** Hosts that make sandboxes exist. What a runner said of itself is null until its first connection. */
export const runners = pgTable(
  'runners',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    name: text('name').notNull(),
    /** SHA-256 of its token, in hexadecimal. The token itself is never stored. */
    tokenHash: text('token_hash').notNull(),
    region: text('region').notNull(),
    version: text('version'),
    driver: text('driver'),
    runtime: text('runtime'),
    limitations: text('limitations').array().notNull().default([]),
    snapshots: text('snapshots').array().notNull().default([]),
    cpu: doublePrecision('cpu'),
    memoryGib: doublePrecision('memory_gib'),
    diskGib: doublePrecision('disk_gib'),
    /** The connection that speaks for it now; a replaced connection may no longer say that it is gone. */
    connectionId: uuid('connection_id'),
    /** Null when disconnected; a connection that dies with its replica is told by its age. */
    lastSeenAt: timestamp('last_seen_at', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    unique('runners_name_unique').on(table.name),
    unique('runners_token_hash_unique').on(table.tokenHash),
    check('runners_token_hash_check', sql`${table.tokenHash} ~ '^[0-9a-f]{64}$'`),
  ],
)

export type RunnerRow = typeof runners.$inferSelect
