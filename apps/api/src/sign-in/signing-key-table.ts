import { index, jsonb, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'

/** Keys that sign access tokens: the newest signs, all of them verify. */
export const signingKeys = pgTable(
  'signing_keys',
  {
    /** `kid` of the tokens it signs. */
    id: uuid('id').primaryKey(),
    /** The public key as it is published. */
    publicJwk: jsonb('public_jwk').$type<Record<string, unknown>>().notNull(),
    /** The private key, PKCS #8 in PEM, sealed. */
    sealedPrivateKey: text('sealed_private_key').notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
  },
  (table) => [index('signing_keys_created_index').on(table.createdAt)],
)
