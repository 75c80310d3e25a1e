import { sql } from 'drizzle-orm'
import { boolean, check, pgTable, text, timestamp } from 'drizzle-orm/pg-core'

export const users = pgTable(
  'users',
  {
    /** Free text: the subject of an identity provider, or an id made here. */
    id: text('id').primaryKey(),
    name: text('name').notNull(),
    email: text('email').notNull().default(''),
    emailVerified: boolean('email_verified').notNull().default(false),
    /** `admin` may do everything in every organization. */
    role: text('role', { enum: ['admin', 'user'] }).notNull(),
    /** RSA, in PEM; null until a pair is made. */
    publicKey: text('public_key'),
    sealedPrivateKey: text('sealed_private_key'),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    check('users_id_check', sql`${table.id} <> ''`),
    check('users_role_check', sql`${table.role} in ('admin', 'user')`),
  ],
)
