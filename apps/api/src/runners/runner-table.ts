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
 * The runners. Columns of a runner's own info are null until its first connection. The row of a removed runner stays, for the
 * sandboxes that were there.
 */
export const runners = pgTable(
  'runners',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    name: text('name').notNull(),
    /** The SHA-256 of its token, in hexadecimal. The token itself is never stored. */
    tokenHash: text('token_hash').notNull(),
    region: text('region').notNull(),
    version: text('version'),
    driver: text('driver'),
    runtime: text('runtime'),
    limitations: text('limitations').array().notNull().default([]),
    snapshots: text('snapshots').array().notNull().default([]),
    /** The abilities that not every host has; null: none. */
    abilities: jsonb('abilities').$type<RunnerAbilities>(),
    /** The addresses by which people and old clients know it; Atoll never dials them. */
    domain: text('domain'),
    apiUrl: text('api_url'),
    proxyUrl: text('proxy_url'),
    tags: text('tags').array().notNull().default([]),
    /** The class of sandboxes that it takes; null: any. */
    class: text('class', { enum: ['small', 'medium', 'large'] }),
    gpu: integer('gpu').notNull().default(0),
    gpuType: text('gpu_type'),
    /** The most sandboxes; null: as many as have room. */
    capacity: integer('capacity'),
    /** Whether it takes no new sandboxes. */
    unschedulable: boolean('unschedulable').notNull().default(false),
    /** Whether it takes no new sandboxes because it is to become empty. */
    draining: boolean('draining').notNull().default(false),
    removedAt: timestamp('removed_at', { withTimezone: true }),
    cpu: doublePrecision('cpu'),
    memoryGib: doublePrecision('memory_gib'),
    diskGib: doublePrecision('disk_gib'),
    /** The connection that speaks for it now; a replaced connection can no longer record that the runner is gone. */
    connectionId: uuid('connection_id'),
    /** When it last said that it is ready; null when disconnected. An old time shows a connection that died with its replica. */
    lastSeenAt: timestamp('last_seen_at', { withTimezone: true }),
    /** When it was last heard of, kept when it disconnects; null: never. */
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
