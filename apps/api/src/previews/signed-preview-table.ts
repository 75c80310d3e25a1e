import { sql } from 'drizzle-orm'
import { check, foreignKey, index, integer, pgTable, text, timestamp, uuid } from 'drizzle-orm/pg-core'
import { sandboxes } from '../sandboxes/sandbox-table.ts'

/** Links that open one port of one sandbox until they expire (§20.1 of the contract). */
export const signedPreviews = pgTable(
  'signed_previews',
  {
    /** SHA-256 of its token, in hexadecimal. The token itself is never stored. */
    tokenHash: text('token_hash').primaryKey(),
    sandboxId: uuid('sandbox_id').notNull(),
    port: integer('port').notNull(),
    expiresAt: timestamp('expires_at', { withTimezone: true }).notNull(),
    createdAt: timestamp('created_at', { withTimezone: true }).notNull(),
  },
  (table) => [
    foreignKey({
      name: 'signed_previews_sandbox_fk',
      columns: [table.sandboxId],
      foreignColumns: [sandboxes.id],
    }).onDelete('cascade'),
    index('signed_previews_sandbox_index').on(table.sandboxId, table.expiresAt),
    check('signed_previews_token_hash_check', sql`${table.tokenHash} ~ '^[0-9a-f]{64}$'`),
    check('signed_previews_port_check', sql`${table.port} between 1 and 65535`),
  ],
)
