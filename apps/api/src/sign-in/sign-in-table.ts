import { sql } from 'drizzle-orm'
import { check, foreignKey, index, pgTable, text, timestamp, unique, uuid } from 'drizzle-orm/pg-core'
import { users } from '../users/user-table.ts'

/** The passwords of users. */
export const userPasswords = pgTable(
  'user_passwords',
  {
    userId: text('user_id').primaryKey(),
    /** The login that the user types, in lower case. */
    login: text('login').notNull(),
    /** Argon2id, with its parameters and salt. */
    passwordHash: text('password_hash').notNull(),
    changedAt: timestamp('changed_at', { withTimezone: true }).notNull().defaultNow(),
  },
  (table) => [
    foreignKey({
      name: 'user_passwords_user_fk',
      columns: [table.userId],
      foreignColumns: [users.id],
    }).onDelete('cascade'),
    unique('user_passwords_login_unique').on(table.login),
    check('user_passwords_login_check', sql`${table.login} <> ''`),
  ],
)

/** Sign-ins, from the check of a password to the sign-out. The row is deleted when the sign-in ends. */
export const signIns = pgTable(
  'sign_ins',
  {
    id: uuid('id').primaryKey().defaultRandom(),
    userId: text('user_id').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({ name: 'sign_ins_user_fk', columns: [table.userId], foreignColumns: [users.id] }).onDelete('cascade'),
    index('sign_ins_user_index').on(table.userId),
    index('sign_ins_expires_index').on(table.expiresAt),
  ],
)

/** Refresh tokens. Each is good for one refresh; used ones are kept, so that the use of a stolen one is noticed. */
export const refreshTokens = pgTable(
  'refresh_tokens',
  {
    /** SHA-256 of the token, in hexadecimal. The token itself is never stored. */
    tokenHash: text('token_hash').primaryKey(),
    signInId: uuid('sign_in_id').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
    usedAt: timestamp('used_at', { withTimezone: true }),
  },
  (table) => [
    foreignKey({
      name: 'refresh_tokens_sign_in_fk',
      columns: [table.signInId],
      foreignColumns: [signIns.id],
    }).onDelete('cascade'),
    index('refresh_tokens_sign_in_index').on(table.signInId),
    check('refresh_tokens_token_hash_check', sql`${table.tokenHash} ~ '^[0-9a-f]{64}$'`),
  ],
)
