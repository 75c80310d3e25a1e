import { sql } from 'drizzle-orm'
// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { check, foreignKey, index, pgTable, primaryKey, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { organizationRoles } from './organization-role-table.ts'
import { organizations } from './organization-table.ts'

/** Invitations to join an organization. A pending one past its time has expired; no column records this. */
export const organizationInvitations = pgTable(
  'organization_invitations',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    organizationId: uuid('organization_id').notNull(),
    /** The email as it was written; compared without regard to case. */
    email: text('email').notNull(),
    /** The inviter's email at the time of the invitation. */
    invitedBy: text('invited_by').notNull(),
    status: text('status', { enum: ['pending', 'accepted', 'declined', 'cancelled'] })
      .notNull()
      .default('pending'),
    role: text('role', { enum: ['owner', 'member'] }).notNull(),
    expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    updatedAt: timestamp('updated_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({
      name: 'organization_invitations_organization_fk',
      columns: [table.organizationId],
      foreignColumns: [organizations.id],
    }).onDelete('cascade'),
    index('organization_invitations_organization_index')
      .on(table.organizationId)
      .where(sql`${table.status} = 'pending'`),
    index('organization_invitations_email_index')
      .on(sql`lower(${table.email})`)
      .where(sql`${table.status} = 'pending'`),
    check(
      'organization_invitations_status_check',
      sql`${table.status} in ('pending', 'accepted', 'declined', 'cancelled')`,
    ),
    check('organization_invitations_role_check', sql`${table.role} in ('owner', 'member')`),
    check('organization_invitations_email_check', sql`${table.email} <> ''`),
  ],
)

/** The roles that a user gets by accepting an invitation. */
export const organizationInvitationRoles = pgTable(
  'organization_invitation_roles',
  {
    invitationId: uuid('invitation_id').notNull(),
    roleId: uuid('role_id').notNull(),
  },
  (table) => [
    primaryKey({ name: 'organization_invitation_roles_pk', columns: [table.invitationId, table.roleId] }),
    foreignKey({
      name: 'organization_invitation_roles_invitation_fk',
      columns: [table.invitationId],
      foreignColumns: [organizationInvitations.id],
    }).onDelete('cascade'),
    foreignKey({
      name: 'organization_invitation_roles_role_fk',
      columns: [table.roleId],
      foreignColumns: [organizationRoles.id],
    }).onDelete('cascade'),
    index('organization_invitation_roles_role_index').on(table.roleId),
  ],
)

export type InvitationRow = typeof organizationInvitations.$inferSelect
