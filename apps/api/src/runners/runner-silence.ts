import type { SQL } from 'drizzle-orm'
import { and, eq, isNull, lt, or, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { SILENCE_LIMIT_MS } from './runner-session.ts'
import { runners } from './runner-table.ts'

/** The default silence after which a runner is lost, in milliseconds. */
export const RUNNER_LOST_AFTER_MS = 120_000

/** The times before which a runner must have been heard of last to be lost. */
export interface Silence {
  heardBefore: Date
  /** The same for a runner whose connection is recorded, which may have died with its replica. */
  seenBefore: Date
}

/** Returns those times at `now` (milliseconds since the epoch). */
export function silenceAt(now: number, lostAfterMs: number): Silence {
  return { heardBefore: new Date(now - lostAfterMs), seenBefore: new Date(now - SILENCE_LIMIT_MS) }
}

/** The condition for the runner of this id, unless it was removed. */
export function isKnown(id: string): SQL | undefined {
  return and(eq(runners.id, id), isNull(runners.removedAt))
}

/** The condition that a runner is lost: silent, or removed for good. */
export function isLostSince({ heardBefore, seenBefore }: Silence): SQL {
  // Rows that are older than `heardAt` have the time of their last connection in `updatedAt`.
  const heardAt = sql`coalesce(${runners.heardAt}, ${runners.updatedAt})`
  const silent = and(
    sql`${heardAt} < ${heardBefore.toISOString()}::timestamptz`,
    or(isNull(runners.lastSeenAt), lt(runners.lastSeenAt, seenBefore)),
  )
  return sql`(${runners.removedAt} is not null or (${silent}))`
}

/** Returns whether a runner is lost, and then keeps it so until the transaction ends: its next connection waits for that. */
export async function lockLost(tx: Queryable, id: string, silence: Silence): Promise<boolean> {
  const rows = await tx
    .select({ id: runners.id })
    .from(runners)
    .where(and(eq(runners.id, id), isLostSince(silence)))
    .for('share')
  return rows.length > 0
}
