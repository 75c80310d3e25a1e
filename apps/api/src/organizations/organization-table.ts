import { sql } from 'drizzle-orm'
import {
  boolean,
  check,
  doublePrecision,
  foreignKey,
  index,
  integer,
  pgTable,
  // biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'
import { users } from '../users/user-table.ts'

/** The limits of an organization, in cores and GiB; null is without limit. */
const quotaColumns = {
  /** Summed over all running sandboxes. */
  cpuQuota: integer('cpu_quota'),
  memoryGibQuota: integer('memory_gib_quota'),
  /** Summed over all existing sandboxes. */
  diskGibQuota: integer('disk_gib_quota'),
  maxSandboxCpu: integer('max_sandbox_cpu'),
  maxSandboxMemoryGib: integer('max_sandbox_memory_gib'),
  maxSandboxDiskGib: integer('max_sandbox_disk_gib'),
  sandboxQuota: integer('sandbox_quota'),
  runningSandboxQuota: integer('running_sandbox_quota'),
  snapshotQuota: integer('snapshot_quota'),
  maxSnapshotGib: doublePrecision('max_snapshot_gib'),
  snapshotTotalGibQuota: doublePrecision('snapshot_total_gib_quota'),
  volumeQuota: integer('volume_quota'),
}

export const organizations = pgTable(
  'organizations',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    name: text('name').notNull(),
    createdBy: text('created_by').notNull(),
    /** Made with its user; it is not left or deleted before the user is. */
    personal: boolean('personal').notNull(),
    /** The region of sandboxes that name none; null: the system's default. */
    defaultRegionId: text('default_region_id'),
    suspended: boolean('suspended').notNull().default(false),
    suspendedAt: timestamp('suspended_at', { withTimezone: true }),
    suspensionReason: text('suspension_reason'),
    /** Null: until lifted. */
    suspendedUntil: timestamp('suspended_until', { withTimezone: true }),
    ...quotaColumns,
    /** Set: the organization is hidden and its belongings are being removed; its row is deleted last. */
    deletedAt: timestamp('deleted_at', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({ name: 'organizations_created_by_fk', columns: [table.createdBy], foreignColumns: [users.id] }),
    check('organizations_name_check', sql`${table.name} <> ''`),
    index('organizations_created_by_index').on(table.createdBy),
    // These partial indexes hold only the few rows that a periodic job looks for.
    index('organizations_suspended_index').on(table.suspendedAt).where(sql`${table.suspended}`),
    index('organizations_deleted_index').on(table.deletedAt).where(sql`${table.deletedAt} is not null`),
  ],
)

/** The members of organizations, with their role. */
export const organizationUsers = pgTable(
  'organization_users',
  {
    organizationId: uuid('organization_id').notNull(),
    userId: text('user_id').notNull(),
    role: text('role', { enum: ['owner', 'member'] }).notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ name: 'organization_users_pk', columns: [table.organizationId, table.userId] }),
    foreignKey({
      name: 'organization_users_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'organization_users_user_fk',
      columns: [table.userId],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    check('organization_users_role_check', sql`${table.role} in ('owner', 'member')`),
  ],
)

export type OrganizationRow = typeof organizations.$inferSelect
