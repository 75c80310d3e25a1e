import { sql } from 'drizzle-orm'
import { check, foreignKey, pgTable, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { organizations } from '../organizations/organization-table.ts'

/** Regions in which sandboxes may be made. A shared one is for every organization, and its id is its name. */
export const regions = pgTable(
  'regions',
  {
    id: text('id').primaryKey(),
    name: text('name').notNull(),
    /** Null: for every organization. */
    organizationId: uuid('organization_id'),
    regionType: text('region_type', { enum: ['shared', 'dedicated', 'custom'] }).notNull(),
    /** Addresses of an organization's own services for the region; Atoll only shows them. */
    proxyUrl: text('proxy_url'),
    sshGatewayUrl: text('ssh_gateway_url'),
    snapshotManagerUrl: text('snapshot_manager_url'),
    otelEndpoint: text('otel_endpoint'),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({
      name: 'regions_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }).onDelete('cascade'),
    unique('regions_name_unique').on(table.organizationId, table.name).nullsNotDistinct(),
    check(
      'regions_type_check',
      sql`${table.regionType} in ('shared', 'dedicated', 'custom')
        and (${table.regionType} = 'shared') = (${table.organizationId} is null)`,
    ),
  ],
)

export type RegionRow = typeof regions.$inferSelect
