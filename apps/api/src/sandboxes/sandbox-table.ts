import { storedSandboxStates } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { sql } from 'drizzle-orm'
import type { AnyPgColumn } from 'drizzle-orm/pg-core'
import {
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
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'
import { eventColumns, isActorKind } from '../reconciliation/state-events.ts'
import { runners } from '../runners/runner-table.ts'

/** The build that a sandbox was made from; builds of equal content have the same `snapshotRef`. */
export interface SandboxBuildInfo {
  dockerfileContent: string
  contextHashes: string[]
  createdAt: string
  updatedAt: string
  snapshotRef: string
}

/** A volume of a sandbox, and where it is mounted. */
export interface SandboxMount {
  volumeId: string
  mountPath: string
  subpath?: string
}

/** The sandboxes and their states: docs/spec/sandbox-state.md. Rows outlive their sandboxes, without the env. */
export const sandboxes = pgTable(
  'sandboxes',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** Null for a member of a warm pool, which belongs to no organization yet. */
    organizationId: uuid('organization_id'),
    /** The warm pool of an unclaimed member: docs/spec/warm-pool.md. No foreign key: a pool may be deleted before its members. */
    warmPoolId: uuid('warm_pool_id'),
    /** The version of the runner that made it, while it is a member of a warm pool. */
    warmRunnerVersion: text('warm_runner_version'),
    /** Whether its toolbox may not have heard yet that it was claimed. */
    claimPending: boolean('claim_pending').notNull().default(false),
    /** Never in the form of an id. Null: its id is its name. */
    name: text('name'),
    /** Null when its files are on no runner: archived with no other state desired, or in an error that left them so. */
    runnerId: uuid('runner_id'),
    snapshot: text('snapshot').notNull(),
    /** Null for sandboxes that are older than snapshots. No foreign key: snapshots refer to sandboxes. */
    snapshotId: uuid('snapshot_id'),
    /** The runner's name of the snapshot; null: the same as `snapshot`. */
    snapshotRef: text('snapshot_ref'),
    /** The build that its create brought along; null if it was made from a snapshot. */
    buildInfo: jsonb('build_info').$type<SandboxBuildInfo>(),
    /** The command that runs at each start; null: the image's own. */
    entrypoint: text('entrypoint').array(),
    /** A copy of its rows in `sandbox_volumes`, for reading. */
    volumes: jsonb('volumes').$type<SandboxMount[]>().notNull().default([]),
    /** The sandbox whose files it began with. */
    forkedFromId: uuid('forked_from_id'),
    /** The snapshot that is being made of it. */
    snapshottingId: uuid('snapshotting_id'),
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
    /** The cpu, memory and disk that a resize leads to; null unless it is resizing. */
    resizeCpu: integer('resize_cpu'),
    resizeMemoryGib: integer('resize_memory_gib'),
    resizeDiskGib: integer('resize_disk_gib'),
    networkBlockAll: boolean('network_block_all').notNull(),
    /** The allowed blocks of IPv4 addresses, separated by commas; null: all that are not blocked. */
    networkAllowList: text('network_allow_list'),
    autoStopMinutes: integer('auto_stop_minutes').notNull(),
    autoArchiveMinutes: integer('auto_archive_minutes').notNull(),
    autoDeleteMinutes: integer('auto_delete_minutes').notNull(),
    /** The time at which it is deleted whatever it is doing; null: never. */
    autoDestroyAt: timestamp('auto_destroy_at', { withTimezone: true }),
    state: text('state', { enum: storedSandboxStates }).notNull(),
    desiredState: text('desired_state', { enum: ['started', 'stopped', 'archived', 'resized', 'destroyed'] }).notNull(),
    /** The state that it is recovered to; null unless it is in an error, or on a lost runner, and can be recovered. */
    recoverableTo: text('recoverable_to', { enum: ['stopped', 'archived'] }),
    /** Whether its files are on a lost runner, or missing on their runner; `state` is then the state before that. */
    lost: boolean('lost').notNull().default(false),
    /** The time of the last change of the state that clients see. */
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull(),
    /** The time since which it has not run; null while it runs or is to run, and in an error. Archiving and resizing keep it. */
    stoppedAt: timestamp('stopped_at', { withTimezone: true }),
    /** Whether the last stop that was asked for gives its processes no time to end. */
    stopForced: boolean('stop_forced').notNull().default(false),
    errorReason: text('error_reason'),
    backupState: text('backup_state', { enum: ['None', 'Pending', 'InProgress', 'Completed', 'Error'] })
      .notNull()
      .default('None'),
    /** The newest whole backup, from which archived files are restored. It is kept when `backup_state` becomes `None`. */
    backupId: uuid('backup_id'),
    /** When that backup was asked for: it has every change from before (R13). */
    backupCreatedAt: timestamp('backup_created_at', { withTimezone: true }),
    /** The SHA-256 of this start's toolbox token, in hexadecimal; null when no toolbox may dial home. */
    toolboxTokenHash: text('toolbox_token_hash'),
    /** The token that opens this start's previews and WebSockets; null when destroyed. 122 random bits. */
    authToken: text('auth_token').default(sql`replace(gen_random_uuid()::text, '-', '')`),
    /** The key that signs URLs of this sandbox's files, across its starts; null when destroyed. 244 random bits. */
    signingKey: text('signing_key').default(sql`replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')`),
    leaseOwner: uuid('lease_owner'),
    leaseExpiresAt: timestamp('lease_expires_at', { withTimezone: true }),
    /** Failed tries of the due step since the last change of state, or since its last try with progress. */
    attempts: integer('attempts').notNull().default(0),
    /** When the due step is tried next; for a stopped sandbox that could not be archived, when its timer may do it again. */
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
    uniqueIndex('sandboxes_name_unique').on(table.organizationId, table.name).where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_organization_index')
      .on(table.organizationId, table.createdAt.desc().nullsFirst(), table.id)
      .where(sql`${table.state} <> 'destroyed'`),
    // The default order of a list: a page of ten thousand sandboxes takes a third of the time.
    index('sandboxes_activity_index')
      .on(table.organizationId, table.lastActivityAt.desc().nullsFirst(), table.id.desc().nullsFirst())
      .where(sql`${table.state} <> 'destroyed'`),
    // Finds the sandboxes that were made from a snapshot.
    index('sandboxes_snapshot_index').on(table.snapshotId).where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_snapshot_ref_index')
      .on(sql`coalesce(${table.snapshotRef}, ${table.snapshot})`, table.runnerId)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_forked_from_index').on(table.forkedFromId).where(sql`${table.forkedFromId} is not null`),
    // The follower of snapshots looks for these rows each second: they are few, however many sandboxes there are.
    index('sandboxes_waiting_index')
      .on(table.changedAt)
      .where(sql`${table.state} in ('pending_build', 'building_snapshot', 'pulling_snapshot')`),
    index('sandboxes_snapshotting_index').on(table.snapshottingId).where(sql`${table.snapshottingId} is not null`),
    // The other orders of a list, and the filters that few sandboxes pass: one label, public, failed or on the way.
    index('sandboxes_shown_name_index')
      .on(table.organizationId, sql`coalesce(${table.name}, ${table.id}::text)`, table.id)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_cpu_index')
      .on(table.organizationId, table.cpu, table.id)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_memory_index')
      .on(table.organizationId, table.memoryGib, table.id)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_disk_index')
      .on(table.organizationId, table.diskGib, table.id)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_labels_index')
      .using('gin', table.labels.op('jsonb_path_ops'))
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_public_index')
      .on(table.organizationId, table.lastActivityAt.desc().nullsFirst(), table.id.desc().nullsFirst())
      .where(sql`${table.public} and ${table.state} <> 'destroyed'`),
    index('sandboxes_restless_index')
      .on(table.organizationId, table.lastActivityAt.desc().nullsFirst(), table.id.desc().nullsFirst())
      .where(
        sql`${table.state} <> 'destroyed' and (${table.state} = 'error' or ${table.state} <> ${table.desiredState})`,
      ),
    // The members of warm pools, and the sandboxes that were claimed a moment ago: few rows.
    index('sandboxes_warm_index').on(table.warmPoolId).where(sql`${table.warmPoolId} is not null`),
    index('sandboxes_claim_index').on(table.runnerId).where(sql`${table.claimPending}`),
    index('sandboxes_runner_index').on(table.runnerId).where(sql`${table.state} <> 'destroyed'`),
    // The history looks for old rows of destroyed sandboxes to delete.
    index('sandboxes_destroyed_index').on(table.changedAt).where(sql`${table.state} = 'destroyed'`),
    // A reconciler looks for these rows: they are few, however many sandboxes there are.
    index('sandboxes_unsettled_index').on(table.runnerId).where(sql`${table.state} <> ${table.desiredState}`),
    ...timerIndexes(table),
    ...stateChecks(table),
    // W1: a sandbox belongs to an organization or is a member of a pool.
    check('sandboxes_owner_check', sql`(${table.organizationId} is null) = (${table.warmPoolId} is not null)`),
    check(
      'sandboxes_claim_check',
      sql`not ${table.claimPending} or (${table.organizationId} is not null and ${table.state} = 'started')`,
    ),
    check('sandboxes_class_check', sql`${table.class} in ('small', 'medium', 'large')`),
    check('sandboxes_token_hash_check', sql`${table.toolboxTokenHash} ~ '^[0-9a-f]{64}$'`),
  ],
)

type Columns<Name extends string> = Readonly<Record<Name, AnyPgColumn>>

/** The states that a row can be in, as `isStorableState` of the protocol says, and the columns that belong to them. */
function stateChecks(
  table: Columns<
    | ('state' | 'desiredState' | 'recoverableTo' | 'lost' | 'runnerId' | 'backupId' | 'backupState')
    | ('resizeCpu' | 'resizeDiskGib')
  >,
) {
  const { state, desiredState } = table
  return [
    check(
      'sandboxes_state_check',
      sql`case ${state}
        when 'pending_build' then ${desiredState} in ('started', 'destroyed')
        when 'building_snapshot' then ${desiredState} in ('started', 'destroyed')
        when 'build_failed' then ${desiredState} in ('started', 'destroyed')
        when 'pulling_snapshot' then ${desiredState} in ('started', 'destroyed')
        when 'creating' then ${desiredState} in ('started', 'destroyed')
        when 'stopped' then ${desiredState} in ('started', 'stopped', 'archived', 'resized', 'destroyed')
        when 'started' then ${desiredState} in ('started', 'stopped', 'resized', 'destroyed')
        when 'archived' then ${desiredState} in ('started', 'archived', 'destroyed')
        when 'error' then ${desiredState} in ('started', 'stopped', 'archived', 'resized', 'destroyed')
        when 'destroyed' then ${desiredState} = 'destroyed'
        else false end`,
    ),
    check(
      'sandboxes_recoverable_check',
      sql`${table.recoverableTo} is null
        or (${state} = 'error' and ${table.recoverableTo} in ('stopped', 'archived'))
        or (${table.lost} and ${table.recoverableTo} = 'archived' and ${table.backupId} is not null)`,
    ),
    check(
      'sandboxes_lost_check',
      sql`not ${table.lost} or (${state} in ('stopped', 'started', 'error') and ${desiredState} <> 'destroyed')`,
    ),
    check(
      'sandboxes_place_check',
      sql`(${table.runnerId} is not null or ${state} in ('archived', 'error', 'destroyed'))
        and (${table.backupId} is not null or ${state} <> 'archived')`,
    ),
    check(
      'sandboxes_resize_check',
      sql`${table.resizeCpu} is not null or ${state} = 'error' or ${desiredState} <> 'resized'`,
    ),
    check(
      'sandboxes_backup_state_check',
      sql`${table.backupState} in ('None', 'Pending', 'InProgress', 'Completed', 'Error')`,
    ),
  ]
}

/** A time as an interval since the epoch. PostgreSQL can index it with minutes added, which it cannot for a time. */
export function sinceEpoch(time: AnyPgColumn | SQL): SQL {
  return sql`(${time} - timestamptz '1970-01-01T00:00:00Z')`
}

/** The interval since the epoch after which a timer of this many minutes that began at `time` is due. */
export function dueAfter(time: AnyPgColumn, minutes: AnyPgColumn): SQL {
  return sql`(${sinceEpoch(time)} + ${minutes} * interval '1 minute')`
}

/** Each index finds the rows that one timer is due for: few, however many there are. `timer-store.ts` has the conditions, too. */
function timerIndexes(
  table: Columns<
    | ('state' | 'desiredState' | 'lost' | 'lastActivityAt' | 'stoppedAt' | 'autoDestroyAt')
    | ('autoStopMinutes' | 'autoArchiveMinutes' | 'autoDeleteMinutes')
  >,
) {
  const { state, desiredState, lost } = table
  return [
    index('sandboxes_auto_stop_index')
      .on(dueAfter(table.lastActivityAt, table.autoStopMinutes))
      .where(
        sql`${state} = 'started' and ${desiredState} = 'started' and not ${lost} and ${table.autoStopMinutes} > 0`,
      ),
    index('sandboxes_auto_archive_index')
      .on(dueAfter(table.stoppedAt, table.autoArchiveMinutes))
      .where(sql`${state} = 'stopped' and ${desiredState} = 'stopped' and not ${lost}`),
    index('sandboxes_auto_delete_index')
      .on(dueAfter(table.stoppedAt, table.autoDeleteMinutes))
      .where(
        sql`${state} = ${desiredState} and ${state} in ('stopped', 'archived') and ${table.autoDeleteMinutes} >= 0`,
      ),
    index('sandboxes_auto_destroy_index')
      .on(table.autoDestroyAt)
      .where(sql`${table.autoDestroyAt} is not null and ${desiredState} <> 'destroyed'`),
  ]
}

/** The history of sandboxes: a row for every change of the shown state. */
export const sandboxEvents = pgTable(
  'sandbox_events',
  // The organization is null if the sandbox was a member of a warm pool then.
  { ...eventColumns(), organizationId: uuid('organization_id'), sandboxId: uuid('sandbox_id').notNull() },
  (table) => [
    index('sandbox_events_sandbox_index').on(table.sandboxId, table.id),
    index('sandbox_events_at_index').on(table.at),
    check('sandbox_events_actor_check', isActorKind(table.actorKind)),
  ],
)

export type SandboxRow = typeof sandboxes.$inferSelect
export type NewSandboxRow = typeof sandboxes.$inferInsert
export type SandboxEventRow = typeof sandboxEvents.$inferSelect
export type NewSandboxEventRow = typeof sandboxEvents.$inferInsert
