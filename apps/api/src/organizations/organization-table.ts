import { sql } from 'drizzle-orm'
// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { boolean, check, foreignKey, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { users } from '../users/user-table.ts'

export const organizations = pgTable(
  'organizations',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    name: text('name').notNull(),
    createdBy: text('created_by').notNull(),
    /** Made with its user and never left or deleted before them. */
    personal: boolean('personal').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({ name: 'organizations_created_by_fk', columns: [table.createdBy], foreignColumns: [users.id] }),
    check('organizations_name_check', sql`${table.name} <> ''`),
  ],
)

/** Who belongs to an organization, and as what. */
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
