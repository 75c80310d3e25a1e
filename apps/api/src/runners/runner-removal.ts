import { and, eq, inArray, ne, sql } from 'drizzle-orm'
import { advisoryLocks } from '../database/advisory-locks.ts'
import type { Queryable } from '../database/database.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import { SNAPSHOT_UNDER_WAY } from '../snapshots/snapshot-limits.ts'
import { takeFromRemoved } from '../snapshots/snapshot-store.ts'
import { snapshotRunners, snapshots } from '../snapshots/snapshot-table.ts'
import { giveUpVolumes, hasVolumes } from '../volumes/volume-store.ts'
import type { Silence } from './runner-silence.ts'
import { isKnown, isLostSince } from './runner-silence.ts'
import { runners } from './runner-table.ts'

export interface RunnerRemoval {
  /** The hash that replaces that of its token. */
  tokenHash: string
  silence: Silence
  /**
   * Whether to remove it even if it makes a snapshot or is the last holder of one, or is lost with sandboxes or volumes on it.
   */
  force: boolean
  at: Date
}

/**
 * `sandboxes`, `volumes`: some are on the runner; `lost`: some are on the runner, and it is lost, so that `force` would give
 * them up. `snapshots`: it makes some; `lastHolder`: no other runner has these snapshots.
 */
export type RemovalOutcome =
  | ('removed' | 'sandboxes' | 'volumes' | 'lost' | 'snapshots' | 'unknown')
  | { lastHolder: string[] }

/** The most snapshots that a refusal names. */
const NAMED_LIMIT = 10

/** Removes a runner and the rows of its snapshots, gives up its volumes and has others make what it makes. Its own row stays. */
export async function removeRunner(
  tx: Queryable,
  id: string,
  { tokenHash, silence, force, at }: RunnerRemoval,
): Promise<RemovalOutcome> {
  // One at a time: two that hold a snapshot would each count on the other.
  await tx.execute(sql`select pg_advisory_xact_lock(${advisoryLocks.runnerRemoval})`)
  // Placement takes the same lock, so nothing is placed there meanwhile.
  const columns = { isLost: sql<boolean>`${isLostSince(silence)}` }
  const [row] = await tx.select(columns).from(runners).where(isKnown(id)).for('no key update')
  if (row === undefined) return 'unknown'
  const used = (await hasSandboxes(tx, id)) ? 'sandboxes' : (await hasVolumes(tx, id)) ? 'volumes' : undefined
  if (used !== undefined && !(force && row.isLost)) return row.isLost ? 'lost' : used
  if (!force && (await makesSnapshots(tx, id))) return 'snapshots'
  const lastHolder = force ? [] : await heldNowhereElse(tx, id)
  if (lastHolder.length > 0) return { lastHolder }
  await giveUpVolumes(tx, id, at)
  await tx.delete(snapshotRunners).where(eq(snapshotRunners.runnerId, id))
  const gone = { connectionId: null, lastSeenAt: null, tokenHash }
  await tx
    .update(runners)
    .set({ ...gone, removedAt: sql`now()`, updatedAt: sql`now()` })
    .where(isKnown(id))
  await takeFromRemoved(tx)
  return 'removed'
}

/**
 * Returns the needed snapshots that only this runner has, by name where they have one. Every runner has the built-in one, and
 * a pulled snapshot that is inactive is pulled again.
 */
async function heldNowhereElse(tx: Queryable, id: string): Promise<string[]> {
  const { runnerId, state } = snapshotRunners
  // Written out, because drizzle leaves out the table's name of a column that is selected from one table.
  const ref = sql`snapshot_runners.ref`
  const elsewhere = sql`exists (select 1 from snapshot_runners as other join runners on runners.id = other.runner_id
    where other.ref = ${ref} and other.runner_id <> ${id} and other.state = 'active' and runners.removed_at is null)`
  const isBuiltin = sql`exists (select 1 from snapshots where snapshots.ref = ${ref} and snapshots.kind = 'builtin')`
  const isUsed = sql`exists (select 1 from sandboxes
    where coalesce(sandboxes.snapshot_ref, sandboxes.snapshot) = ${ref} and sandboxes.state <> 'destroyed')`
  const isOffered = sql`exists (select 1 from snapshots where snapshots.ref = ${ref}
    and (snapshots.state = 'active' or (snapshots.state = 'inactive' and snapshots.digest is null)))`
  const name = sql<string>`coalesce((select min(snapshots.name) from snapshots
    where snapshots.ref = ${ref} and snapshots.state <> 'removed'), ${ref})`
  const rows = await tx
    .select({ name })
    .from(snapshotRunners)
    .where(
      and(
        eq(runnerId, id),
        eq(state, 'active'),
        sql`not ${isBuiltin} and (${isUsed} or ${isOffered}) and not ${elsewhere}`,
      ),
    )
    .orderBy(name)
    .limit(NAMED_LIMIT)
  return rows.map((row) => row.name)
}

async function makesSnapshots(tx: Queryable, id: string): Promise<boolean> {
  const underWay = and(eq(snapshots.runnerId, id), inArray(snapshots.state, SNAPSHOT_UNDER_WAY))
  return (await tx.select({ id: snapshots.id }).from(snapshots).where(underWay).limit(1)).length > 0
}

async function hasSandboxes(tx: Queryable, id: string): Promise<boolean> {
  const living = and(eq(sandboxes.runnerId, id), ne(sandboxes.state, 'destroyed'))
  return (await tx.select({ id: sandboxes.id }).from(sandboxes).where(living).limit(1)).length > 0
}
