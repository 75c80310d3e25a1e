import { storedSnapshotStates } from '@atoll/protocol'
import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  doublePrecision,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'
import { eventColumns, isActorKind } from '../reconciliation/state-events.ts'
import { runners } from '../runners/runner-table.ts'

/** The input of a build. `snapshotRef` is the contract's id, the same for equal content. */
export interface StoredBuildInfo {
  dockerfileContent: string
  contextHashes: string[]
  createdAt: string
  updatedAt: string
  snapshotRef: string
}

/**
 * The snapshots that sandboxes are made from: docs/spec/snapshot-state.md. A removed row stays, for the sandboxes that
 * name it.
 */
export const snapshots = pgTable(
  'snapshots',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** Null for the built-in snapshot. */
    organizationId: uuid('organization_id'),
    /** Null for a snapshot of sandboxes with a build of their own, which is in no list. */
    name: text('name'),
    general: boolean('general').notNull(),
    enabled: boolean('enabled').notNull().default(true),
    /** The name of the files on runners. Snapshots of the same build share one. */
    ref: text('ref').notNull(),
    kind: text('kind', { enum: ['builtin', 'image', 'build', 'archive', 'directory', 'sandbox'] }).notNull(),
    imageName: text('image_name'),
    buildInfo: jsonb('build_info').$type<StoredBuildInfo>(),
    /** The folder on its runner's host. */
    directory: text('directory'),
    sourceSandboxId: uuid('source_sandbox_id'),
    /** Null means the image's own entrypoint. */
    entrypoint: text('entrypoint').array(),
    /** Cores. */
    cpu: integer('cpu').notNull(),
    gpu: integer('gpu').notNull(),
    memoryGib: integer('memory_gib').notNull(),
    diskGib: integer('disk_gib').notNull(),
    /** The region in which it is made. */
    region: text('region').notNull(),
    state: text('state', {
      enum: storedSnapshotStates,
    }).notNull(),
    /** The time since which `state` stands. */
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull(),
    errorReason: text('error_reason'),
    /** Null until it is active. */
    sizeGib: doublePrecision('size_gib'),
    /** The size at which making it fails, in GiB; null means the runner's own bound. */
    maxSizeGib: doublePrecision('max_size_gib'),
    /** The digest of the image it was pulled from: `sha256:…`. */
    digest: text('digest'),
    /** The runner that makes it and has its log. Null until one is chosen. */
    runnerId: uuid('runner_id'),
    /** Whether the runner was asked to make it: its reports of the ref count from then on. */
    asked: boolean('asked').notNull().default(false),
    leaseOwner: uuid('lease_owner'),
    leaseExpiresAt: timestamp('lease_expires_at', { withTimezone: true }),
    /** Failures of the step that is due, since the last change of state. */
    attempts: integer('attempts').notNull().default(0),
    nextAttemptAt: timestamp('next_attempt_at', { withTimezone: true }),
    lastUsedAt: timestamp('last_used_at', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({
      name: 'snapshots_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }),
    foreignKey({ name: 'snapshots_runner_fk', columns: [table.runnerId], foreignColumns: [runners.id] }),
    uniqueIndex('snapshots_name_unique').on(table.organizationId, table.name).where(sql`${table.state} <> 'removed'`),
    // Sandboxes with the same build share one nameless snapshot; a failed one is built anew.
    uniqueIndex('snapshots_nameless_unique')
      .on(table.organizationId, table.ref)
      .where(
        sql`${table.name} is null and ${table.state} not in ('error', 'build_failed', 'inactive', 'removing', 'removed')`,
      ),
    index('snapshots_general_index').on(table.name).where(sql`${table.general} and ${table.state} <> 'removed'`),
    index('snapshots_ref_index').on(table.ref).where(sql`${table.state} <> 'removed'`),
    index('snapshots_unsettled_index')
      .on(table.runnerId)
      .where(sql`${table.state} not in ('active', 'inactive', 'error', 'build_failed', 'removed')`),
    index('snapshots_runner_index').on(table.runnerId),
    check(
      'snapshots_state_check',
      sql`${table.state} in ('build_pending', 'building', 'pending', 'pulling', 'snapshotting', 'pending_validation',
        'validating', 'active', 'inactive', 'error', 'build_failed', 'removing', 'removed')`,
    ),
    check(
      'snapshots_kind_check',
      sql`(${table.kind} in ('builtin', 'archive')
        or (${table.kind} = 'image' and ${table.imageName} is not null)
        or (${table.kind} = 'build' and ${table.buildInfo} is not null)
        or (${table.kind} = 'directory' and ${table.directory} is not null)
        or (${table.kind} = 'sandbox' and ${table.sourceSandboxId} is not null))
        and (${table.kind} = 'builtin') = (${table.organizationId} is null)`,
    ),
  ],
)

/** The refs that runners hold. */
export const snapshotRunners = pgTable(
  'snapshot_runners',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    ref: text('ref').notNull(),
    runnerId: uuid('runner_id').notNull(),
    /** `removing` means that no new sandbox may use it. */
    state: text('state', { enum: ['active', 'removing'] }).notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({ name: 'snapshot_runners_runner_fk', columns: [table.runnerId], foreignColumns: [runners.id] }),
    uniqueIndex('snapshot_runners_unique').on(table.ref, table.runnerId),
    index('snapshot_runners_runner_index').on(table.runnerId),
    check('snapshot_runners_state_check', sql`${table.state} in ('active', 'removing')`),
  ],
)

/** Every change of a snapshot's state. The built-in snapshot never changes. */
export const snapshotEvents = pgTable(
  'snapshot_events',
  { ...eventColumns(), snapshotId: uuid('snapshot_id').notNull() },
  (table) => [
    index('snapshot_events_snapshot_index').on(table.snapshotId, table.id),
    index('snapshot_events_at_index').on(table.at),
    check('snapshot_events_actor_check', isActorKind(table.actorKind)),
  ],
)

export type SnapshotRow = typeof snapshots.$inferSelect
export type NewSnapshotRow = typeof snapshots.$inferInsert
export type SnapshotRunnerRow = typeof snapshotRunners.$inferSelect
