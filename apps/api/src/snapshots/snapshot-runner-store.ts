import type { SQL } from 'drizzle-orm'
import { and, eq, inArray, isNotNull, isNull, ne, notInArray, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { runners } from '../runners/runner-table.ts'
import type { SnapshotRunnerRow } from './snapshot-table.ts'
import { snapshotRunners, snapshots } from './snapshot-table.ts'

/** Most rows that one call deals with. */
const SWEEP_LIMIT = 1_000

/** A runner that could make a snapshot. */
export interface MakerCandidate {
  id: string
  abilities: (typeof runners.$inferSelect)['abilities']
}

/** The SQL of the refs that runners hold, called holdings. */
export interface SnapshotRunnerStore {
  /** Returns the runners that hold `ref` and may use it for new sandboxes. */
  holdersOf(db: Queryable, ref: string): Promise<string[]>
  /**
   * Whether there is somewhere to bring a snapshot from: a runner that holds it and was heard of since `seenAfter`, or a
   * registry, where it is an image of a known digest.
   */
  canBeBrought(db: Queryable, wanted: { snapshotId: string; seenAfter: Date }): Promise<boolean>
  /** Returns the holdings of what `text` names: a ref, a snapshot's name, or the contract's id of a build. */
  withSnapshot(text: string): Promise<SnapshotRunnerRow[]>
  setHeld(ref: string, runnerId: string): Promise<void>
  /**
   * Corrects the holdings of a runner, which really has `refs`. Returns those of `refs` whose snapshots are all
   * removed.
   */
  compare(runnerId: string, refs: readonly string[]): Promise<string[]>
  /** Returns the runners of a region among `runnerIds`, the ones with the fewest snapshots first. */
  makers(runnerIds: readonly string[], region: string): Promise<MakerCandidate[]>
  /**
   * Marks the holdings that no snapshot and no sandbox of their runner needs any more, so that no new sandbox uses
   * them. Returns the marked holdings on `runnerIds`.
   */
  markUnneeded(runnerIds: readonly string[]): Promise<SnapshotRunnerRow[]>
  /**
   * Marks the holdings of these organizations' inactive images that can be pulled again by their digest, unless a
   * sandbox of the runner needs them.
   */
  releaseInactive(organizationIds: readonly string[]): Promise<void>
  /** Whether a holding of this ref is marked, on this runner where one is named. */
  isBeingRemoved(ref: string, runnerId?: string): Promise<boolean>
  /** Deletes a holding that is gone from its runner, unless it was made there again meanwhile. */
  forget(id: string): Promise<void>
  /**
   * Returns the snapshots being removed that no runner holds except for sandboxes made from them, or whose ref another
   * snapshot needs.
   */
  removable(): Promise<string[]>
}

export function createSnapshotRunnerStore({ db }: Pick<Database, 'db'>): SnapshotRunnerStore {
  return {
    async holdersOf(queryable, ref) {
      const rows = await queryable
        .select({ runnerId: snapshotRunners.runnerId })
        .from(snapshotRunners)
        .where(and(eq(snapshotRunners.ref, ref), eq(snapshotRunners.state, 'active')))
        .prepare('snapshot_holders')
        .execute()
      return rows.map(({ runnerId }) => runnerId)
    },
    async canBeBrought(queryable, { snapshotId, seenAfter }) {
      const isWithinReach = sql`exists (select 1 from snapshot_runners
        join runners on runners.id = snapshot_runners.runner_id and runners.removed_at is null
        where snapshot_runners.ref = snapshots.ref and snapshot_runners.state = 'active'
          and runners.last_seen_at > ${seenAfter.toISOString()}::timestamptz)`
      const isImage = sql`snapshots.image_name is not null and snapshots.digest is not null`
      const rows = await queryable
        .select({ id: snapshots.id })
        .from(snapshots)
        .where(
          and(eq(snapshots.id, snapshotId), ne(snapshots.kind, 'builtin'), sql`((${isImage}) or ${isWithinReach})`),
        )
      return rows.length > 0
    },
    async withSnapshot(text) {
      const named = sql`exists (select 1 from snapshots
        where snapshots.ref = ${snapshotRunners.ref} and snapshots.state <> 'removed'
          and (snapshots.name = ${text} or snapshots.build_info ->> 'snapshotRef' = ${text}))`
      return await db
        .select()
        .from(snapshotRunners)
        .where(and(eq(snapshotRunners.state, 'active'), sql`(${snapshotRunners.ref} = ${text} or ${named})`))
        .orderBy(snapshotRunners.createdAt)
        .limit(SWEEP_LIMIT)
    },
    setHeld: (ref, runnerId) => setHeld(db, ref, runnerId),
    compare: (runnerId, refs) => compare(db, runnerId, refs),
    async makers(runnerIds, region) {
      if (runnerIds.length === 0) return []
      const held = sql`(select count(*) from snapshot_runners where snapshot_runners.runner_id = ${runners.id})`
      return await db
        .select({ id: runners.id, abilities: runners.abilities })
        .from(runners)
        .where(and(inArray(runners.id, [...runnerIds]), eq(runners.region, region), isNull(runners.removedAt)))
        .orderBy(held, runners.id)
    },
    markUnneeded: (runnerIds) => markUnneeded(db, runnerIds),
    async releaseInactive(organizationIds) {
      const theirs = and(inArray(snapshots.organizationId, [...organizationIds]), eq(snapshots.state, 'inactive'))
      const pulled = and(eq(snapshots.kind, 'image'), isNotNull(snapshots.digest))
      const refs = db.select({ ref: snapshots.ref }).from(snapshots).where(and(theirs, pulled))
      await db
        .update(snapshotRunners)
        .set({ state: 'removing' })
        .where(and(inArray(snapshotRunners.ref, refs), eq(snapshotRunners.state, 'active'), sql`not ${inUseThere}`))
    },
    async isBeingRemoved(ref, runnerId) {
      const there = runnerId === undefined ? undefined : eq(snapshotRunners.runnerId, runnerId)
      const marked = and(eq(snapshotRunners.ref, ref), eq(snapshotRunners.state, 'removing'), there)
      return (await db.select({ id: snapshotRunners.id }).from(snapshotRunners).where(marked).limit(1)).length > 0
    },
    async forget(id) {
      await db.delete(snapshotRunners).where(and(eq(snapshotRunners.id, id), eq(snapshotRunners.state, 'removing')))
    },
    removable: () => removable(db),
  }
}

async function setHeld(db: Queryable, ref: string, runnerId: string): Promise<void> {
  const unique = [snapshotRunners.ref, snapshotRunners.runnerId]
  await db
    .insert(snapshotRunners)
    .values({ ref, runnerId, state: 'active' })
    .onConflictDoUpdate({ target: unique, set: { state: 'active' } })
}

async function compare(db: Queryable, runnerId: string, refs: readonly string[]): Promise<string[]> {
  const onIt = eq(snapshotRunners.runnerId, runnerId)
  const known = refs.length === 0 ? [] : await statesOf(db, runnerId, refs)
  await db
    .delete(snapshotRunners)
    .where(refs.length === 0 ? onIt : and(onIt, notInArray(snapshotRunners.ref, [...refs])))
  const live = known.filter(({ isRemoved }) => !isRemoved).map(({ ref }) => ref)
  if (live.length > 0) {
    await db
      .insert(snapshotRunners)
      .values(live.map((ref) => ({ ref, runnerId, state: 'active' as const })))
      .onConflictDoNothing()
  }
  return known.filter(({ isRemoved }) => isRemoved).map(({ ref }) => ref)
}

/** What a sandbox may need there is not removed, though it is deleted. */
async function statesOf(
  db: Queryable,
  runnerId: string,
  refs: readonly string[],
): Promise<{ ref: string; isRemoved: boolean }[]> {
  const isNeeded = neededBy({ runnerId: sql`${runnerId}`, ref: sql`snapshots.ref` })
  return await db
    .select({
      ref: snapshots.ref,
      isRemoved: sql<boolean>`bool_and(${snapshots.state} = 'removed') and not ${isNeeded}`,
    })
    .from(snapshots)
    .where(inArray(snapshots.ref, [...refs]))
    .groupBy(snapshots.ref)
}

/**
 * Whether there is a sandbox of that runner that was made from it, or one that may come to any, to which it may be brought
 * from this one: of no runner, or whose files are to be restored.
 */
function neededBy({ runnerId, ref }: { runnerId: SQL; ref: SQL }): SQL {
  return sql`exists (select 1 from sandboxes
    where (sandboxes.runner_id = ${runnerId} or sandboxes.runner_id is null
      or sandboxes.state = 'archived' or sandboxes.recoverable_to = 'archived')
      and coalesce(sandboxes.snapshot_ref, sandboxes.snapshot) = ${ref} and sandboxes.state <> 'destroyed')`
}

/** Written out: of a column that is selected from one table, drizzle leaves the table's name out. */
const inUseThere = neededBy({ runnerId: sql`snapshot_runners.runner_id`, ref: sql`snapshot_runners.ref` })

async function markUnneeded(db: Queryable, runnerIds: readonly string[]): Promise<SnapshotRunnerRow[]> {
  if (runnerIds.length === 0) return []
  const there = inArray(snapshotRunners.runnerId, [...runnerIds])
  const wanted = sql`exists (select 1 from snapshots
    where snapshots.ref = ${snapshotRunners.ref} and snapshots.state not in ('removing', 'removed'))`
  await db
    .update(snapshotRunners)
    .set({ state: 'removing' })
    .where(and(there, eq(snapshotRunners.state, 'active'), sql`not ${wanted}`, sql`not ${inUseThere}`))
  return await db
    .select()
    .from(snapshotRunners)
    .where(and(there, eq(snapshotRunners.state, 'removing')))
    .limit(SWEEP_LIMIT)
}

async function removable(db: Queryable): Promise<string[]> {
  // The holdings of a removed runner do not count, though they may have been written after its removal.
  const held = sql`exists (select 1 from snapshot_runners
    join runners on runners.id = snapshot_runners.runner_id and runners.removed_at is null
    where snapshot_runners.ref = ${snapshots.ref} and not ${inUseThere})`
  const shared = sql`exists (select 1 from snapshots as other
    where other.ref = ${snapshots.ref} and other.id <> ${snapshots.id} and other.state not in ('removing', 'removed'))`
  const rows = await db
    .select({ id: snapshots.id })
    .from(snapshots)
    .where(and(eq(snapshots.state, 'removing'), ne(snapshots.kind, 'builtin'), sql`(${shared} or not ${held})`))
    .limit(SWEEP_LIMIT)
  return rows.map(({ id }) => id)
}
