// biome-ignore lint/suspicious/noDeprecatedImports: only one overload of primaryKey is deprecated, not the one used
import { foreignKey, index, pgTable, primaryKey, timestamp, uuid } from 'drizzle-orm/pg-core'
import { runners } from '../../runners/runner-table.ts'
import { sandboxes } from '../sandbox-table.ts'

/**
 * Where sandboxes were and are no more, though their runner may still have them: what permits to delete them there (R9).
 * Rows stay, since a runner may come back with an older disk.
 */
export const formerPlacements = pgTable(
  'former_placements',
  {
    sandboxId: uuid('sandbox_id').notNull(),
    runnerId: uuid('runner_id').notNull(),
    leftAt: timestamp('left_at', { withTimezone: true }).notNull(),
    /** When the runner was last seen without it; null: it may have it. */
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
