import { sql } from 'drizzle-orm'
import {
  bigint,
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
import { sandboxes } from '../sandbox-table.ts'

/**
 * Copies of sandboxes' files in the object store, whole or not. A row is written before its object and deleted after it, so
 * that no object is ever without a row.
 */
export const sandboxBackups = pgTable(
  'sandbox_backups',
  {
    id: uuid('id').primaryKey(),
    sandboxId: uuid('sandbox_id').notNull(),
    /** `pending`: asked for. `writing`: being written. `kept`: whole and checked. `discarded`: its object is to be deleted. */
    state: text('state', { enum: ['pending', 'writing', 'kept', 'discarded'] }).notNull(),
    /** The sandbox's `changedAt` when it was made, which tells whether the files may have changed since. */
    ofChange: timestamp('of_change', { withTimezone: true }).notNull(),
    /** The bytes of the object, once they are known. */
    bytes: bigint('bytes', { mode: 'number' }),
    /** The SHA-256 of the object, in hexadecimal. */
    sha256: text('sha256'),
    /** The format of the archive in the object. */
    format: text('format', { enum: ['tar', 'tar+gzip', 'tar+zstd'] })
      .notNull()
      .default('tar'),
    /** The upload that the parts belong to, while it is written. */
    uploadId: text('upload_id'),
    /** The bytes of all parts but the last; null for an object without recorded parts. */
    partBytes: bigint('part_bytes', { mode: 'number' }),
    /** Failed tries since the last one with progress. */
    attempts: integer('attempts').notNull().default(0),
    nextAttemptAt: timestamp('next_attempt_at', { withTimezone: true }),
    /** The replica that may be writing the object. */
    leaseOwner: uuid('lease_owner'),
    leaseExpiresAt: timestamp('lease_expires_at', { withTimezone: true }),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({
      name: 'sandbox_backups_sandbox_fk',
      columns: [table.sandboxId],
      foreignColumns: [sandboxes.id],
    }),
    index('sandbox_backups_sandbox_index').on(table.sandboxId),
    uniqueIndex('sandbox_backups_unfinished_unique')
      .on(table.sandboxId)
      .where(sql`${table.state} in ('pending', 'writing')`),
    // A keeper looks for these rows: they are few, however many backups there are.
    index('sandbox_backups_work_index').on(table.createdAt).where(sql`${table.state} <> 'kept'`),
    check('sandbox_backups_state_check', sql`${table.state} in ('pending', 'writing', 'kept', 'discarded')`),
    check('sandbox_backups_format_check', sql`${table.format} in ('tar', 'tar+gzip', 'tar+zstd')`),
    check(
      'sandbox_backups_kept_check',
      sql`${table.state} <> 'kept' or (${table.bytes} is not null and ${table.sha256} ~ '^[0-9a-f]{64}$')`,
    ),
  ],
)

/** The parts of backups that are in the object store: a copy goes on from them, and their checksums show damage. */
export const sandboxBackupParts = pgTable(
  'sandbox_backup_parts',
  {
    backupId: uuid('backup_id').notNull(),
    /** Counts from 1. */
    number: integer('number').notNull(),
    etag: text('etag').notNull(),
    /** The SHA-256 of the part, in hexadecimal. */
    sha256: text('sha256').notNull(),
  },
  (table) => [
    primaryKey({ name: 'sandbox_backup_parts_pk', columns: [table.backupId, table.number] }),
    foreignKey({
      name: 'sandbox_backup_parts_backup_fk',
      columns: [table.backupId],
      foreignColumns: [sandboxBackups.id],
    }).onDelete('cascade'),
    check('sandbox_backup_parts_sha256_check', sql`${table.sha256} ~ '^[0-9a-f]{64}$'`),
  ],
)

export type BackupRow = typeof sandboxBackups.$inferSelect
