import type { SQL } from 'drizzle-orm'
import { and, eq, inArray, isNotNull, isNull, not, sql } from 'drizzle-orm'
import type { Queryable } from '../../database/database.ts'
import { runners } from '../../runners/runner-table.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxes } from '../sandbox-table.ts'
import { formerPlacements } from './former-placement-table.ts'

type Place = Pick<SandboxRow, 'id' | 'runnerId'>

/**
 * Notes the former runner of a sandbox, in the transaction that takes it elsewhere. `isCleared`: it is known that nothing of
 * the sandbox is left there.
 */
export async function noteMove(
  tx: Queryable,
  { from, to }: { from: Place; to: Place },
  { at, isCleared }: { at: Date; isCleared: boolean },
): Promise<void> {
  if (from.runnerId === to.runnerId) return
  if (from.runnerId !== null) await noteLeft(tx, { id: from.id, runnerId: from.runnerId }, { at, isCleared })
  if (to.runnerId === null) return
  const here = isAt(to.id, to.runnerId)
  // Waits for a removal there that is under way.
  await tx.select({ one: sql`1` }).from(formerPlacements).where(here).for('update')
  // The runner is no former one any more. L7: a row not cleared stays, so that old files are removed before the restore.
  await tx.delete(formerPlacements).where(and(here, isNotNull(formerPlacements.clearedAt)))
}

/** Returns whether the runner of a sandbox may have files of it from before they went elsewhere. */
export async function mayBeLeft(db: Queryable, sandboxId: string, runnerId: string): Promise<boolean> {
  const left = and(isAt(sandboxId, runnerId), isNull(formerPlacements.clearedAt))
  return (await db.select({ one: sql`1` }).from(formerPlacements).where(left)).length > 0
}

/** Notes that those files are gone. */
export async function forgetLeft(db: Queryable, sandboxId: string, runnerId: string): Promise<void> {
  await db.delete(formerPlacements).where(isAt(sandboxId, runnerId))
}

/** Returns the ids of sandboxes that were once on a runner and can be removed there, since their files are elsewhere. */
export async function removable(db: Queryable, runnerId: string, limit: number): Promise<string[]> {
  const rows = await db
    .select({ id: formerPlacements.sandboxId })
    .from(formerPlacements)
    .innerJoin(sandboxes, eq(sandboxes.id, formerPlacements.sandboxId))
    .where(and(eq(formerPlacements.runnerId, runnerId), isNull(formerPlacements.clearedAt), isElsewhere(runnerId)))
    .orderBy(formerPlacements.leftAt)
    .limit(limit)
  return rows.map(({ id }) => id)
}

/**
 * Calls `remove` for what is left of a sandbox on a runner, and notes the removal. A move of the sandbox to that runner waits
 * for the end of the transaction; a sandbox that has moved there is not removed.
 */
export async function removeLeft(
  tx: Queryable,
  { id, runnerId, at }: { id: string; runnerId: string; at: Date },
  remove: () => Promise<void>,
): Promise<void> {
  const left = and(isAt(id, runnerId), isNull(formerPlacements.clearedAt))
  const [locked] = await tx.select({ one: sql`1` }).from(formerPlacements).where(left).for('update')
  if (locked === undefined) return
  const [row] = await tx
    .select({ one: sql`1` })
    .from(formerPlacements)
    .innerJoin(sandboxes, eq(sandboxes.id, formerPlacements.sandboxId))
    .where(and(left, isElsewhere(runnerId)))
  if (row === undefined) return
  await remove()
  await tx.update(formerPlacements).set({ clearedAt: at }).where(left)
}

/** The condition for sandboxes that were archived when they left or since: the object was read back (R10), so the old files are needless. */
const isArchived = sql`exists (select 1 from sandbox_events
  where sandbox_events.sandbox_id = former_placements.sandbox_id and sandbox_events.event = 'saved'
    and sandbox_events.at >= former_placements.left_at)`

/**
 * The condition for destroyed sandboxes and ones with files elsewhere, in queries that join the former placement. One still to
 * be restored from a backup may need the old files.
 */
function isElsewhere(runnerId: string): SQL {
  const { state, desiredState, lost, recoverableTo } = sandboxes
  const isToBeRestored = sql`(not ${lost} and ${desiredState} <> 'destroyed'
    and (${state} = 'archived' or (${state} = 'error' and ${recoverableTo} is not distinct from 'archived')))`
  return sql`(${state} = 'destroyed'
    or (${sandboxes.runnerId} is distinct from ${runnerId} and (not ${isToBeRestored} or ${isArchived})))`
}

function isAt(sandboxId: string, runnerId: string): SQL | undefined {
  return and(eq(formerPlacements.sandboxId, sandboxId), eq(formerPlacements.runnerId, runnerId))
}

/** Notes that a runner is to remove its copy of a sandbox when it can be reached. */
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

/** Returns which of `ids` were on this runner once, and whether what it has of each may be removed. */
export async function formerlyOn(
  db: Queryable,
  runnerId: string,
  ids: readonly string[],
): Promise<Map<string, { isElsewhere: boolean }>> {
  if (ids.length === 0) return new Map()
  const rows = await db
    .select({ id: formerPlacements.sandboxId, isElsewhere: sql<boolean>`${isElsewhere(runnerId)}` })
    .from(formerPlacements)
    .innerJoin(sandboxes, eq(sandboxes.id, formerPlacements.sandboxId))
    .where(and(eq(formerPlacements.runnerId, runnerId), inArray(formerPlacements.sandboxId, [...ids])))
  return new Map(rows.map((row) => [row.id, row]))
}

/**
 * Notes that a runner has none of the sandboxes that were on it once, except `left`. The runner has `kept`, though it may have been
 * seen without them: its disk was not there then.
 */
export async function clearFormer(
  db: Queryable,
  runnerId: string,
  { left, kept, at }: { left: readonly string[]; kept: readonly string[]; at: Date },
): Promise<void> {
  const gone = left.length === 0 ? undefined : not(inArray(formerPlacements.sandboxId, [...left]))
  await db
    .update(formerPlacements)
    .set({ clearedAt: at })
    .where(and(eq(formerPlacements.runnerId, runnerId), isNull(formerPlacements.clearedAt), gone))
  if (kept.length === 0) return
  await db
    .update(formerPlacements)
    .set({ clearedAt: null })
    .where(and(eq(formerPlacements.runnerId, runnerId), inArray(formerPlacements.sandboxId, [...kept])))
}

/** Returns whether a runner that may yet return may have files of an organization's sandboxes. */
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
