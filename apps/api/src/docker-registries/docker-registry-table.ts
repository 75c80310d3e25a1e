import { sql } from 'drizzle-orm'
import { boolean, check, foreignKey, index, pgTable, text, timestamp, uniqueIndex, uuid } from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'

export const dockerRegistries = pgTable(
  'docker_registries',
  {
    id: uuid('id').primaryKey(),
    /** Null for the system's registries, which administrators manage. */
    organizationId: uuid('organization_id'),
    name: text('name').notNull(),
    url: text('url').notNull(),
    username: text('username').notNull(),
    /** The sealed password, bound to this row. */
    sealedPassword: text('sealed_password').notNull(),
    project: text('project').notNull(),
    registryType: text('registry_type', { enum: ['internal', 'organization', 'public', 'transient'] }).notNull(),
    isDefault: boolean('is_default').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({
      name: 'docker_registries_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }).onDelete('cascade'),
    index('docker_registries_organization_index').on(table.organizationId, table.createdAt),
    // One default in an organization, and one of each type among the system's registries.
    uniqueIndex('docker_registries_default_unique')
      .on(sql`coalesce(${table.organizationId}::text, ${table.registryType})`)
      .where(sql`${table.isDefault}`),
    check(
      'docker_registries_type_check',
      sql`${table.registryType} in ('internal', 'organization', 'public', 'transient')`,
    ),
    check(
      'docker_registries_owner_check',
      sql`(${table.registryType} = 'organization') = (${table.organizationId} is not null)`,
    ),
    check('docker_registries_name_check', sql`${table.name} <> ''`),
  ],
)

export type DockerRegistryRow = typeof dockerRegistries.$inferSelect
