import type { SandboxLifecycle } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, inArray } from 'drizzle-orm'
import type { Queryable } from '../../database/database.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxBackups } from './backup-table.ts'

/** Wanted, or on their way. */
export const isUnfinished = inArray(sandboxBackups.state, ['pending', 'writing'])

/** Lets go of backups: a keeper deletes their objects. */
export async function discardBackups(tx: Queryable, condition: SQL | undefined): Promise<void> {
  await tx.update(sandboxBackups).set({ state: 'discarded' }).where(condition)
}

/**
 * What a change of a sandbox's state does to its backups, in that change's transaction: one under way is given up, and
 * of what is destroyed nothing is kept.
 */
export async function letGoOfBackups(tx: Queryable, row: SandboxRow, next: SandboxLifecycle): Promise<void> {
  const ofSandbox = eq(sandboxBackups.sandboxId, row.id)
  if (next.state === 'destroyed') await discardBackups(tx, ofSandbox)
  else if (row.backupState === 'Pending' || row.backupState === 'InProgress') {
    await discardBackups(tx, and(ofSandbox, isUnfinished))
  }
}
