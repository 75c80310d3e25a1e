import type { SandboxLifecycle } from '@atoll/protocol'
import { phaseOf } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, inArray } from 'drizzle-orm'
import type { Queryable } from '../../database/database.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxBackups } from './backup-table.ts'

/** The condition for backups that are wanted or being written. */
export const isUnfinished = inArray(sandboxBackups.state, ['pending', 'writing'])

/** Marks backups as discarded: a keeper deletes their objects. */
export async function discardBackups(tx: Queryable, condition: SQL | undefined): Promise<void> {
  await tx.update(sandboxBackups).set({ state: 'discarded' }).where(condition)
}

/**
 * Changes the backups of a sandbox in the transaction of a change of its state: discards one under way, and every backup of
 * a destroyed sandbox. The backup of an unfinished archive waits for the next archive.
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

/** Returns whether an archive ends unfinished, or an unfinished one goes on: nothing changes the files in between. */
function isPaused(row: SandboxRow, next: SandboxLifecycle): boolean {
  const [from, to] = [phaseOf(row), phaseOf(next)]
  return (from === 'archiving' && to === 'stopped') || (to === 'archiving' && !isUnderWay(row))
}

function isUnderWay({ backupState }: SandboxRow): boolean {
  return backupState === 'Pending' || backupState === 'InProgress'
}
