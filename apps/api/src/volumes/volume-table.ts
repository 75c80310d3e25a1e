import { volumeStates } from '@atoll/protocol'
import { sql } from 'drizzle-orm'
import {
  check,
  foreignKey,
  index,
  integer,
  pgTable,
  // biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
  primaryKey,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'
import { eventColumns, isActorKind } from '../reconciliation/state-events.ts'
import { runners } from '../runners/runner-table.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'

/**
 * Volumes, which are folders that outlive sandboxes: docs/spec/volume-state.md. A deleted row stays, under another
 * name.
 */
export const volumes = pgTable(
  'volumes',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    organizationId: uuid('organization_id').notNull(),
    name: text('name').notNull(),
    state: text('state', { enum: volumeStates }).notNull(),
    /** The runner whose host has its files. Null until one is chosen. */
    runnerId: uuid('runner_id'),
    errorReason: text('error_reason'),
    leaseOwner: uuid('lease_owner'),
    leaseExpiresAt: timestamp('lease_expires_at', { withTimezone: true }),
    /** Failures of the step that is due, since the last change of state. */
    attempts: integer('attempts').notNull().default(0),
    nextAttemptAt: timestamp('next_attempt_at', { withTimezone: true }),
    /** The time since which `state` stands. */
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull(),
    lastUsedAt: timestamp('last_used_at', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({
      name: 'volumes_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }),
    foreignKey({ name: 'volumes_runner_fk', columns: [table.runnerId], foreignColumns: [runners.id] }),
    uniqueIndex('volumes_name_unique').on(table.organizationId, table.name).where(sql`${table.state} <> 'deleted'`),
    index('volumes_organization_index').on(table.organizationId),
    index('volumes_unsettled_index').on(table.runnerId).where(sql`${table.state} not in ('ready', 'deleted', 'error')`),
    index('volumes_runner_index').on(table.runnerId),
    check(
      'volumes_state_check',
      sql`${table.state} in ('pending_create', 'creating', 'ready', 'pending_delete', 'deleting', 'deleted', 'error')`,
    ),
  ],
)

/** The volumes of each sandbox. Rows of a destroyed sandbox mean nothing any more. */
export const sandboxVolumes = pgTable(
  'sandbox_volumes',
  {
    sandboxId: uuid('sandbox_id').notNull(),
    volumeId: uuid('volume_id').notNull(),
    mountPath: text('mount_path').notNull(),
    subpath: text('subpath'),
  },
  (table) => [
    primaryKey({ name: 'sandbox_volumes_pk', columns: [table.sandboxId, table.mountPath] }),
    foreignKey({ name: 'sandbox_volumes_sandbox_fk', columns: [table.sandboxId], foreignColumns: [sandboxes.id] }),
    foreignKey({ name: 'sandbox_volumes_volume_fk', columns: [table.volumeId], foreignColumns: [volumes.id] }),
    index('sandbox_volumes_volume_index').on(table.volumeId),
  ],
)

/** Every change of a volume's state. */
export const volumeEvents = pgTable(
  'volume_events',
  { ...eventColumns(), volumeId: uuid('volume_id').notNull() },
  (table) => [
    index('volume_events_volume_index').on(table.volumeId, table.id),
    index('volume_events_at_index').on(table.at),
    check('volume_events_actor_check', isActorKind(table.actorKind)),
  ],
)

export type VolumeRow = typeof volumes.$inferSelect
