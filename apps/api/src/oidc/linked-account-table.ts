import { sql } from 'drizzle-orm'
// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { boolean, check, foreignKey, index, pgTable, primaryKey, text, timestamp } from 'drizzle-orm/pg-core'
import { users } from '../users/user-table.ts'

/** The user of each identity of an OpenID provider; several identities may share one user. */
export const linkedAccounts = pgTable(
  'linked_accounts',
  {
    issuer: text('issuer').notNull(),
    /** `sub` of its tokens. */
    subject: text('subject').notNull(),
    userId: text('user_id').notNull(),
    /** The email that the provider last gave. */
    email: text('email').notNull().default(''),
    emailVerified: boolean('email_verified').notNull().default(false),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    primaryKey({ name: 'linked_accounts_pk', columns: [table.issuer, table.subject] }),
    foreignKey({
      name: 'linked_accounts_user_fk',
      columns: [table.userId],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    index('linked_accounts_user_index').on(table.userId),
    check('linked_accounts_subject_check', sql`${table.issuer} <> '' and ${table.subject} <> ''`),
  ],
)
