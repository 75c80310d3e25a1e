import type { SQL } from 'drizzle-orm'
import { and, eq, isNull, ne, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import { snapshotRunners } from '../snapshots/snapshot-table.ts'
import { giveUpVolumes, hasVolumes } from '../volumes/volume-store.ts'
import type { Silence } from './runner-silence.ts'
import { isLostSince } from './runner-silence.ts'
import { runners } from './runner-table.ts'

export interface RunnerRemoval {
  /** The hash that takes the place of its token's. */
  tokenHash: string
  silence: Silence
  /** Also when it is lost with what lives there. */
  force: boolean
  at: Date
}

/**
 * `sandboxes`, `volumes`: there are some there; `lost`: so there are, and the runner is lost, so that `force` would
 * give them up.
 */
export type RemovalOutcome = 'removed' | 'sandboxes' | 'volumes' | 'lost' | 'unknown'

/** Removes a runner, with what is written of what it has. Its row stays. */
export async function removeRunner(
  tx: Queryable,
  id: string,
  { tokenHash, silence, force, at }: RunnerRemoval,
): Promise<RemovalOutcome> {
  // The lock keeps placement, which takes the same, from putting anything there meanwhile.
  const columns = { isLost: sql<boolean>`${isLostSince(silence)}` }
  const [row] = await tx.select(columns).from(runners).where(isKnown(id)).for('no key update')
  if (row === undefined) return 'unknown'
  const used = (await hasSandboxes(tx, id)) ? 'sandboxes' : (await hasVolumes(tx, id)) ? 'volumes' : undefined
  if (used !== undefined && !(force && row.isLost)) return row.isLost ? 'lost' : used
  await giveUpVolumes(tx, id, at)
  await tx.delete(snapshotRunners).where(eq(snapshotRunners.runnerId, id))
  const gone = { connectionId: null, lastSeenAt: null, tokenHash }
  await tx
    .update(runners)
    .set({ ...gone, removedAt: sql`now()`, updatedAt: sql`now()` })
    .where(isKnown(id))
  return 'removed'
}

/** The runner of this id, unless it was removed. */
export function isKnown(id: string): SQL | undefined {
  return and(eq(runners.id, id), isNull(runners.removedAt))
}

async function hasSandboxes(tx: Queryable, id: string): Promise<boolean> {
  const living = and(eq(sandboxes.runnerId, id), ne(sandboxes.state, 'destroyed'))
  return (await tx.select({ id: sandboxes.id }).from(sandboxes).where(living).limit(1)).length > 0
}
