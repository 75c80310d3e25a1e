import type { SandboxLifecycle } from '@atoll/protocol'
import { phaseOf } from '@atoll/protocol'
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
 * of what is destroyed nothing is kept. What an archive has come to that was not finished waits for the next archive.
 */
export async function letGoOfBackups(tx: Queryable, row: SandboxRow, next: SandboxLifecycle): Promise<void> {
  const ofSandbox = eq(sandboxBackups.sandboxId, row.id)
  if (next.state === 'destroyed') await discardBackups(tx, ofSandbox)
  else if (isPaused(row, next)) {
    await tx
      .update(sandboxBackups)
      .set({ ofChange: new Date(next.changedAt) })
      .where(and(ofSandbox, isUnfinished))
  } else if (isUnderWay(row) || row.backupState === 'Error') await discardBackups(tx, and(ofSandbox, isUnfinished))
}

/** Whether an archive ends unfinished, or such a one is gone on with: nothing has changed the files between the two. */
function isPaused(row: SandboxRow, next: SandboxLifecycle): boolean {
  const [from, to] = [phaseOf(row), phaseOf(next)]
  return (from === 'archiving' && to === 'stopped') || (to === 'archiving' && !isUnderWay(row))
}

function isUnderWay({ backupState }: SandboxRow): boolean {
  return backupState === 'Pending' || backupState === 'InProgress'
}
