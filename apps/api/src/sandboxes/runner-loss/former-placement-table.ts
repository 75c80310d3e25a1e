// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { foreignKey, index, pgTable, primaryKey, timestamp, uuid } from 'drizzle-orm/pg-core'
import { runners } from '../../runners/runner-table.ts'
import { sandboxes } from '../sandbox-table.ts'

/**
 * The former runners of sandboxes, which may still have them: a row permits to delete the sandbox there (R9). Rows stay, since
 * a runner may return with an older disk.
 */
export const formerPlacements = pgTable(
  'former_placements',
  {
    sandboxId: uuid('sandbox_id').notNull(),
    runnerId: uuid('runner_id').notNull(),
    leftAt: timestamp('left_at', { withTimezone: true }).notNull(),
    /** When the runner was found without the sandbox, or removed it; null: the runner may have it. */
    clearedAt: timestamp('cleared_at', { withTimezone: true }),
  },
  (table) => [
    primaryKey({ name: 'former_placements_pk', columns: [table.sandboxId, table.runnerId] }),
    foreignKey({
      name: 'former_placements_sandbox_fk',
      columns: [table.sandboxId],
      foreignColumns: [sandboxes.id],
    }).onDelete('cascade'),
    foreignKey({ name: 'former_placements_runner_fk', columns: [table.runnerId], foreignColumns: [runners.id] }),
    index('former_placements_runner_index').on(table.runnerId),
  ],
)
