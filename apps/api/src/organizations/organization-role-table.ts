import { sql } from 'drizzle-orm'
// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { check, foreignKey, index, pgTable, primaryKey, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { organizations, organizationUsers } from './organization-table.ts'

/** Roles: sets of permissions that members can be given. */
export const organizationRoles = pgTable(
  'organization_roles',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    /** Null: a global role, the same in every organization and never changed. */
    organizationId: uuid('organization_id'),
    name: text('name').notNull(),
    description: text('description').notNull(),
    permissions: text('permissions').array().notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({
      name: 'organization_roles_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }).onDelete('cascade'),
    unique('organization_roles_name_unique').on(table.organizationId, table.name).nullsNotDistinct(),
    check('organization_roles_name_check', sql`${table.name} <> ''`),
    check('organization_roles_permissions_check', sql`cardinality(${table.permissions}) > 0`),
  ],
)

/** The roles of each member. */
export const organizationUserRoles = pgTable(
  'organization_user_roles',
  {
    organizationId: uuid('organization_id').notNull(),
    userId: text('user_id').notNull(),
    roleId: uuid('role_id').notNull(),
  },
  (table) => [
    primaryKey({ name: 'organization_user_roles_pk', columns: [table.organizationId, table.userId, table.roleId] }),
    foreignKey({
      name: 'organization_user_roles_member_fk',
      columns: [table.organizationId, table.userId],
      foreignColumns: [organizationUsers.organizationId, organizationUsers.userId],
    }).onDelete('cascade'),
    foreignKey({
      name: 'organization_user_roles_role_fk',
      columns: [table.roleId],
      foreignColumns: [organizationRoles.id],
    }).onDelete('cascade'),
    index('organization_user_roles_role_index').on(table.roleId),
  ],
)
