import { and, eq, inArray, isNull, not, sql } from 'drizzle-orm'
import type { Queryable } from '../../database/database.ts'
import { runners } from '../../runners/runner-table.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxes } from '../sandbox-table.ts'
import { formerPlacements } from './former-placement-table.ts'

type Place = Pick<SandboxRow, 'id' | 'runnerId'>

/**
 * Notes where a sandbox was, in the transaction that takes it elsewhere. `isCleared`: it is known that nothing of it is left
 * there.
 */
export async function noteMove(
  tx: Queryable,
  { from, to }: { from: Place; to: Place },
  { at, isCleared }: { at: Date; isCleared: boolean },
): Promise<void> {
  if (from.runnerId === to.runnerId) return
  if (from.runnerId !== null) await noteLeft(tx, { id: from.id, runnerId: from.runnerId }, { at, isCleared })
  if (to.runnerId === null) return
  // What is there now is no longer what was.
  const here = and(eq(formerPlacements.sandboxId, to.id), eq(formerPlacements.runnerId, to.runnerId))
  await tx.delete(formerPlacements).where(here)
}

/** Notes that what is on a runner there is to go when it can be reached. */
export async function noteLeft(
  tx: Queryable,
  { id, runnerId }: { id: string; runnerId: string },
  { at, isCleared }: { at: Date; isCleared: boolean },
): Promise<void> {
  const values = { leftAt: at, clearedAt: isCleared ? at : null }
  await tx
    .insert(formerPlacements)
    .values({ sandboxId: id, runnerId, ...values })
    .onConflictDoUpdate({ target: [formerPlacements.sandboxId, formerPlacements.runnerId], set: values })
}

/** Which of `ids` were on this runner once and are elsewhere now. */
export async function formerlyOn(db: Queryable, runnerId: string, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set()
  const rows = await db
    .select({ id: formerPlacements.sandboxId })
    .from(formerPlacements)
    .where(and(eq(formerPlacements.runnerId, runnerId), inArray(formerPlacements.sandboxId, [...ids])))
  return new Set(rows.map(({ id }) => id))
}

/** Notes that a runner has none of what was there once, save `left`. */
export async function clearFormer(
  db: Queryable,
  runnerId: string,
  { left, at }: { left: readonly string[]; at: Date },
): Promise<void> {
  const gone = left.length === 0 ? undefined : not(inArray(formerPlacements.sandboxId, [...left]))
  await db
    .update(formerPlacements)
    .set({ clearedAt: at })
    .where(and(eq(formerPlacements.runnerId, runnerId), isNull(formerPlacements.clearedAt), gone))
}

/** Whether a runner that may yet return may have something of an organization's sandboxes. */
export async function isLeftSomewhere(tx: Queryable, organizationId: string): Promise<boolean> {
  const rows = await tx
    .select({ one: sql`1` })
    .from(formerPlacements)
    .innerJoin(sandboxes, eq(sandboxes.id, formerPlacements.sandboxId))
    .innerJoin(runners, eq(runners.id, formerPlacements.runnerId))
    .where(
      and(eq(sandboxes.organizationId, organizationId), isNull(formerPlacements.clearedAt), isNull(runners.removedAt)),
    )
    .limit(1)
  return rows.length > 0
}
