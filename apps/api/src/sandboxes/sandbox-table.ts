import { sql } from 'drizzle-orm'
import {
  bigint,
  boolean,
  check,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
  unique,
  uuid,
} from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'
import { runners } from '../runners/runner-table.ts'

/** What a sandbox is and shall become: docs/spec/sandbox-state.md. Rows outlive their sandboxes, without the env. */
export const sandboxes = pgTable(
  'sandboxes',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    organizationId: uuid('organization_id').notNull(),
    runnerId: uuid('runner_id').notNull(),
    snapshot: text('snapshot').notNull(),
    osUser: text('os_user').notNull(),
    env: jsonb('env').$type<Record<string, string>>().notNull(),
    labels: jsonb('labels').$type<Record<string, string>>().notNull(),
    public: boolean('public').notNull(),
    target: text('target').notNull(),
    class: text('class', { enum: ['small', 'medium', 'large'] }).notNull(),
    /** Cores. */
    cpu: integer('cpu').notNull(),
    gpu: integer('gpu').notNull(),
    memoryGib: integer('memory_gib').notNull(),
    diskGib: integer('disk_gib').notNull(),
    networkBlockAll: boolean('network_block_all').notNull(),
    autoStopMinutes: integer('auto_stop_minutes').notNull(),
    autoArchiveMinutes: integer('auto_archive_minutes').notNull(),
    autoDeleteMinutes: integer('auto_delete_minutes').notNull(),
    state: text('state', { enum: ['creating', 'stopped', 'started', 'destroyed', 'error'] }).notNull(),
    desiredState: text('desired_state', { enum: ['started', 'stopped', 'destroyed'] }).notNull(),
    /** Since when the state shown to clients stands. */
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull(),
    errorReason: text('error_reason'),
    /** SHA-256 of this start's toolbox token, in hexadecimal; null when nothing may dial home. */
    toolboxTokenHash: text('toolbox_token_hash'),
    leaseOwner: uuid('lease_owner'),
    leaseExpiresAt: timestamp('lease_expires_at', { withTimezone: true }),
    /** Failures of the step that is due, since the last change of state. */
    attempts: integer('attempts').notNull().default(0),
    nextAttemptAt: timestamp('next_attempt_at', { withTimezone: true }),
    lastActivityAt: timestamp('last_activity_at', { withTimezone: true }).notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({
      name: 'sandboxes_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }),
    foreignKey({ name: 'sandboxes_runner_fk', columns: [table.runnerId], foreignColumns: [runners.id] }),
    unique('sandboxes_toolbox_token_hash_unique').on(table.toolboxTokenHash),
    index('sandboxes_organization_index')
      .on(table.organizationId, table.createdAt.desc().nullsFirst(), table.id)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_runner_index').on(table.runnerId).where(sql`${table.state} <> 'destroyed'`),
    // What a reconciler looks for: few rows, however many sandboxes there are.
    index('sandboxes_unsettled_index').on(table.runnerId).where(sql`${table.state} <> ${table.desiredState}`),
    check(
      'sandboxes_state_check',
      sql`${table.state} in ('creating', 'stopped', 'started', 'destroyed', 'error')
        and ${table.desiredState} in ('started', 'stopped', 'destroyed')
        and (${table.state} <> 'destroyed' or ${table.desiredState} = 'destroyed')
        and (${table.state} <> 'creating' or ${table.desiredState} <> 'stopped')`,
    ),
    check('sandboxes_class_check', sql`${table.class} in ('small', 'medium', 'large')`),
    check('sandboxes_token_hash_check', sql`${table.toolboxTokenHash} ~ '^[0-9a-f]{64}$'`),
  ],
)

/**
 * Every change of a sandbox's shown state. No foreign key: an event outlives its sandbox.
 */
export const sandboxEvents = pgTable(
  'sandbox_events',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    sandboxId: uuid('sandbox_id').notNull(),
    organizationId: uuid('organization_id').notNull(),
    /** Who caused it: a user's id, `reconciler` or `runner`. */
    actorKind: text('actor_kind', { enum: ['user', 'reconciler', 'runner'] }).notNull(),
    actorId: text('actor_id'),
    event: text('event').notNull(),
    /** Null for the creation. */
    fromState: text('from_state'),
    toState: text('to_state').notNull(),
    /** How long `fromState` stood. */
    durationMs: bigint('duration_ms', { mode: 'number' }).notNull(),
    reason: text('reason'),
    at: timestamp('at', { withTimezone: true }).notNull(),
  },
  (table) => [
    index('sandbox_events_sandbox_index').on(table.sandboxId, table.id),
    check('sandbox_events_actor_check', sql`${table.actorKind} in ('user', 'reconciler', 'runner')`),
  ],
)

export type SandboxRow = typeof sandboxes.$inferSelect
export type NewSandboxRow = typeof sandboxes.$inferInsert
export type SandboxEventRow = typeof sandboxEvents.$inferSelect
