import { sql } from 'drizzle-orm'
import {
  bigint,
  check,
  customType,
  foreignKey,
  index,
  integer,
  jsonb,
  pgTable,
  // biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
  primaryKey,
  text,
  timestamp,
  uuid,
} from 'drizzle-orm/pg-core'

/** Text that is compared and sorted by its UTF-8 bytes, whatever the database's locale. */
const bytewise = customType<{ data: string }>({ dataType: () => 'text collate "C"' })

/** One file of an object, in the order of its bytes. */
export interface ObjectFile {
  readonly name: string
  readonly bytes: number
}

/** Objects in the data folder; objects in S3 have no rows. */
export const storedObjects = pgTable(
  'stored_objects',
  {
    key: bytewise('key').primaryKey(),
    size: bigint('size', { mode: 'number' }).notNull(),
    etag: text('etag').notNull(),
    contentType: text('content_type').notNull(),
    /** Header fields of the answer to a read, by their names in lower case. */
    headers: jsonb('headers').$type<Record<string, string>>().notNull(),
    files: jsonb('files').$type<ObjectFile[]>().notNull(),
    modifiedAt: timestamp('modified_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [check('stored_objects_key_check', sql`octet_length(${table.key}) between 3 and 1024`)],
)

/** Every file in the folder of objects, from before its first byte until after it was removed. */
export const objectFiles = pgTable(
  'object_files',
  {
    name: uuid('name').primaryKey(),
    /** The scope whose quota it counts against. */
    scope: text('scope').notNull(),
    /** The announced length while the file is written, then the real one. */
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    /** The time since which it is unused: it is incomplete, or no longer wanted. Null while an object or an upload uses it. */
    releasedAt: timestamp('released_at', { withTimezone: true }).defaultNow(),
  },
  (table) => [
    index('object_files_released_index').on(table.releasedAt).where(sql`${table.releasedAt} is not null`),
    check('object_files_bytes_check', sql`${table.bytes} >= 0`),
  ],
)

/** The sums of `object_files` by scope, updated with it. */
export const objectUsage = pgTable(
  'object_usage',
  {
    scope: text('scope').primaryKey(),
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    files: integer('files').notNull(),
  },
  (table) => [check('object_usage_check', sql`${table.bytes} >= 0 and ${table.files} >= 0`)],
)

/** Multipart uploads that are neither completed nor aborted. */
export const objectUploads = pgTable(
  'object_uploads',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    key: bytewise('key').notNull(),
    contentType: text('content_type').notNull(),
    headers: jsonb('headers').$type<Record<string, string>>().notNull(),
    /** The time when it began or its latest part arrived. */
    usedAt: timestamp('used_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [index('object_uploads_key_index').on(table.key), index('object_uploads_used_index').on(table.usedAt)],
)

export const objectUploadParts = pgTable(
  'object_upload_parts',
  {
    uploadId: uuid('upload_id').notNull(),
    number: integer('number').notNull(),
    file: uuid('file').notNull(),
    bytes: bigint('bytes', { mode: 'number' }).notNull(),
    etag: text('etag').notNull(),
  },
  (table) => [
    primaryKey({ name: 'object_upload_parts_pk', columns: [table.uploadId, table.number] }),
    foreignKey({
      name: 'object_upload_parts_upload_fk',
      columns: [table.uploadId],
      foreignColumns: [objectUploads.id],
    }).onDelete('cascade'),
    check('object_upload_parts_number_check', sql`${table.number} between 1 and 10000`),
  ],
)

export type StoredObjectRow = typeof storedObjects.$inferSelect
export type ObjectUploadPartRow = typeof objectUploadParts.$inferSelect
