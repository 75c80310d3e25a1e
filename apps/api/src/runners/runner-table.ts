import type { RunnerAbilities } from '@atoll/protocol'
import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  doublePrecision,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
  unique,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'

/**
 * Hosts that make sandboxes exist. What a runner said of itself is null until its first connection. A removed row stays,
 * for the sandboxes that were there.
 */
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
    /** What not every host can; null: none of it. */
    abilities: jsonb('abilities').$type<RunnerAbilities>(),
    /** How a person or an old client knows it; nothing is ever dialled there. */
    domain: text('domain'),
    apiUrl: text('api_url'),
    proxyUrl: text('proxy_url'),
    tags: text('tags').array().notNull().default([]),
    /** The class of sandboxes that it takes; null: any. */
    class: text('class', { enum: ['small', 'medium', 'large'] }),
    gpu: integer('gpu').notNull().default(0),
    gpuType: text('gpu_type'),
    /** Sandboxes at most; null: as many as have room. */
    capacity: integer('capacity'),
    /** It takes no new sandboxes. */
    unschedulable: boolean('unschedulable').notNull().default(false),
    /** Neither does it then, and it shall be empty one day. */
    draining: boolean('draining').notNull().default(false),
    removedAt: timestamp('removed_at', { withTimezone: true }),
    cpu: doublePrecision('cpu'),
    memoryGib: doublePrecision('memory_gib'),
    diskGib: doublePrecision('disk_gib'),
    /** The connection that speaks for it now; a replaced connection may no longer say that it is gone. */
    connectionId: uuid('connection_id'),
    /** Null when disconnected; a connection that dies with its replica is told by its age. */
    lastSeenAt: timestamp('last_seen_at', { withTimezone: true }),
    /** When anything was last heard of it, which stays when it disconnects; null: never. */
    heardAt: timestamp('heard_at', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    uniqueIndex('runners_name_unique').on(table.name).where(sql`${table.removedAt} is null`),
    unique('runners_token_hash_unique').on(table.tokenHash),
    check('runners_class_check', sql`${table.class} in ('small', 'medium', 'large')`),
    check('runners_token_hash_check', sql`${table.tokenHash} ~ '^[0-9a-f]{64}$'`),
  ],
)

export type RunnerRow = typeof runners.$inferSelect
