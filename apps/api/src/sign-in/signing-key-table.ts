import { index, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Keys that access tokens are signed with: the newest signs, all verify. */
export const signingKeys = pgTable(
  'signing_keys',
  {
    /** `kid` of its tokens. */
    id: uuid('id').primaryKey(),
    /** As it is published. */
    publicJwk: jsonb('public_jwk').$type<Record<string, unknown>>().notNull(),
    /** PKCS #8 in PEM, sealed. */
    sealedPrivateKey: text('sealed_private_key').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
  },
  (table) => [index('signing_keys_created_index').on(table.createdAt)],
)
