import { sql } from 'drizzle-orm'
import { check, foreignKey, pgTable, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { organizationUsers } from '../organizations/organization-table.ts'

export const apiKeys = pgTable(
  'api_keys',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    organizationId: uuid('organization_id').notNull(),
    userId: text('user_id').notNull(),
    name: text('name').notNull(),
    /** SHA-256 of the key, in hexadecimal. The key itself is never stored. */
    keyHash: text('key_hash').notNull(),
    /** First and last characters of the key, for its masked form. */
    keyPrefix: text('key_prefix').notNull(),
    keySuffix: text('key_suffix').notNull(),
    permissions: text('permissions').array().notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    lastUsedAt: timestamp('last_used_at', { withTimezone: true }),
    expiresAt: timestamp('expires_at', { withTimezone: true }),
  },
  (table) => [
    foreignKey({
      name: 'api_keys_organization_user_fk',
      columns: [table.organizationId, table.userId],
      foreignColumns: [organizationUsers.organizationId, organizationUsers.userId],
    }).onDelete('cascade'),
    unique('api_keys_key_hash_unique').on(table.keyHash),
    unique('api_keys_name_unique').on(table.organizationId, table.userId, table.name),
    check('api_keys_key_hash_check', sql`${table.keyHash} ~ '^[0-9a-f]{64}$'`),
    check('api_keys_name_check', sql`${table.name} <> ''`),
  ],
)
