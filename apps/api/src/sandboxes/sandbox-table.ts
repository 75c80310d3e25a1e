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

/** What a sandbox was built from; `snapshotRef` is the contract's id of equal content. */
export interface SandboxBuildInfo {
  dockerfileContent: string
  contextHashes: string[]
  createdAt: string
  updatedAt: string
  snapshotRef: string
}

/** Where a sandbox has a volume. */
export interface SandboxMount {
  volumeId: string
  mountPath: string
  subpath?: string
}

/** What a sandbox is and shall become: docs/spec/sandbox-state.md. Rows outlive their sandboxes, without the env. */
export const sandboxes = pgTable(
  'sandboxes',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** Null: a member of a warm pool, which is nobody's yet. */
    organizationId: uuid('organization_id'),
    /** The warm pool that it waits in, unclaimed: docs/spec/warm-pool.md. No foreign key: a pool may go before them. */
    warmPoolId: uuid('warm_pool_id'),
    /** The version of the runner that made it, while it waits in a warm pool. */
    warmRunnerVersion: text('warm_runner_version'),
    /** It was claimed, and its toolbox may not have heard of that. */
    claimPending: boolean('claim_pending').notNull().default(false),
    /** Null: its id is its name. Never in the form of an id. */
    name: text('name'),
    /** Null when its files are on no runner: archived and not wanted otherwise, or in an error that left them so. */
    runnerId: uuid('runner_id'),
    snapshot: text('snapshot').notNull(),
    /** Null of what is older than snapshots. No foreign key: snapshots refer to sandboxes. */
    snapshotId: uuid('snapshot_id'),
    /** What its runner calls the snapshot; null: the same as `snapshot`. */
    snapshotRef: text('snapshot_ref'),
    /** What it was built from, when that was given with it. */
    buildInfo: jsonb('build_info').$type<SandboxBuildInfo>(),
    /** Run at each start; null: the image's own. */
    entrypoint: text('entrypoint').array(),
    /** As in `sandbox_volumes`, for those who only read. */
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
    /** What `resizing` makes of the three: null unless it is resizing. */
    resizeCpu: integer('resize_cpu'),
    resizeMemoryGib: integer('resize_memory_gib'),
    resizeDiskGib: integer('resize_disk_gib'),
    networkBlockAll: boolean('network_block_all').notNull(),
    /** Blocks of IPv4 addresses, by commas; null: all that is not blocked. */
    networkAllowList: text('network_allow_list'),
    autoStopMinutes: integer('auto_stop_minutes').notNull(),
    autoArchiveMinutes: integer('auto_archive_minutes').notNull(),
    autoDeleteMinutes: integer('auto_delete_minutes').notNull(),
    /** When it is deleted whatever it is doing; null: never. */
    autoDestroyAt: timestamp('auto_destroy_at', { withTimezone: true }),
    state: text('state', { enum: storedSandboxStates }).notNull(),
    desiredState: text('desired_state', { enum: ['started', 'stopped', 'archived', 'resized', 'destroyed'] }).notNull(),
    /** What it is again once recovered; null unless in an error, or on a lost runner, that allows it. */
    recoverableTo: text('recoverable_to', { enum: ['stopped', 'archived'] }),
    /** Its files are on a runner that is lost: `state` is what it was then. */
    lost: boolean('lost').notNull().default(false),
    /** Since when the state shown to clients stands. */
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull(),
    /** Since when it has not run; null while it does or shall, and in an error. Archiving and resizing do not interrupt it. */
    stoppedAt: timestamp('stopped_at', { withTimezone: true }),
    /** Whether the last stop asked for gives its processes no time. */
    stopForced: boolean('stop_forced').notNull().default(false),
    errorReason: text('error_reason'),
    backupState: text('backup_state', { enum: ['None', 'Pending', 'InProgress', 'Completed', 'Error'] })
      .notNull()
      .default('None'),
    /** The newest whole backup, which is kept though later changes make it `None`: what archived files are restored from. */
    backupId: uuid('backup_id'),
    backupCreatedAt: timestamp('backup_created_at', { withTimezone: true }),
    /** SHA-256 of this start's toolbox token, in hexadecimal; null when nothing may dial home. */
    toolboxTokenHash: text('toolbox_token_hash'),
    /** Opens this start's previews and WebSockets to whoever shows it; null when destroyed. 122 random bits. */
    authToken: text('auth_token').default(sql`replace(gen_random_uuid()::text, '-', '')`),
    /** Signs URLs of this sandbox's files, across its starts; null when destroyed. 244 random bits. */
    signingKey: text('signing_key').default(sql`replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', '')`),
    leaseOwner: uuid('lease_owner'),
    leaseExpiresAt: timestamp('lease_expires_at', { withTimezone: true }),
    /** Failures of the step that is due, since the last change of state or since it last got on. */
    attempts: integer('attempts').notNull().default(0),
    /** Of the step that is due; of a stopped one that could not be archived: when the timer may archive it again. */
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
    // The order of a list that asks for none: of ten thousand, a page in a third of the time.
    index('sandboxes_activity_index')
      .on(table.organizationId, table.lastActivityAt.desc().nullsFirst(), table.id.desc().nullsFirst())
      .where(sql`${table.state} <> 'destroyed'`),
    // Who was made from what.
    index('sandboxes_snapshot_index').on(table.snapshotId).where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_snapshot_ref_index')
      .on(sql`coalesce(${table.snapshotRef}, ${table.snapshot})`, table.runnerId)
      .where(sql`${table.state} <> 'destroyed'`),
    index('sandboxes_forked_from_index').on(table.forkedFromId).where(sql`${table.forkedFromId} is not null`),
    // What is looked for each second: few rows, however many sandboxes there are.
    index('sandboxes_waiting_index')
      .on(table.changedAt)
      .where(sql`${table.state} in ('pending_build', 'building_snapshot', 'pulling_snapshot')`),
    index('sandboxes_snapshotting_index').on(table.snapshottingId).where(sql`${table.snapshottingId} is not null`),
    // Every other order of a list, and what few sandboxes of many are: one label, public, failed or on the way.
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
    // What waits to be claimed, and what was claimed a moment ago: few rows.
    index('sandboxes_warm_index').on(table.warmPoolId).where(sql`${table.warmPoolId} is not null`),
    index('sandboxes_claim_index').on(table.runnerId).where(sql`${table.claimPending}`),
    index('sandboxes_runner_index').on(table.runnerId).where(sql`${table.state} <> 'destroyed'`),
    // What is looked for to be forgotten.
    index('sandboxes_destroyed_index').on(table.changedAt).where(sql`${table.state} = 'destroyed'`),
    // What a reconciler looks for: few rows, however many sandboxes there are.
    index('sandboxes_unsettled_index').on(table.runnerId).where(sql`${table.state} <> ${table.desiredState}`),
    ...timerIndexes(table),
    ...stateChecks(table),
    // W1: it is somebody's, or waits in a pool.
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

/** Which states a row can be in: as `isStorableState` of the protocol says, and with what belongs to them. */
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

/** A time as an interval since the epoch, which may be indexed with minutes added: adding them to a time may not. */
export function sinceEpoch(time: AnyPgColumn | SQL): SQL {
  return sql`(${time} - timestamptz '1970-01-01T00:00:00Z')`
}

/** When a timer of this many minutes that began at `time` is due, since the epoch. */
export function dueAfter(time: AnyPgColumn, minutes: AnyPgColumn): SQL {
  return sql`(${sinceEpoch(time)} + ${minutes} * interval '1 minute')`
}

/** Each finds what one timer is due for: few rows, however many there are. The conditions are `sandbox-timer-store.ts`'s. */
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

/** Every change of a sandbox's shown state. */
export const sandboxEvents = pgTable(
  'sandbox_events',
  // Null organization: nobody's then, in a warm pool.
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
