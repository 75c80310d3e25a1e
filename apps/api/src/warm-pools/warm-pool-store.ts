import type { SQL } from 'drizzle-orm'
import { and, count, eq, gte, inArray, isNotNull, isNull, lt, ne, notInArray, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { OrganizationRow } from '../organizations/organization-table.ts'
import { organizations } from '../organizations/organization-table.ts'
import { regions } from '../regions/region-table.ts'
import { runners } from '../runners/runner-table.ts'
import type { SandboxRow } from '../sandboxes/sandbox-table.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import type { SnapshotRow } from '../snapshots/snapshot-table.ts'
import { snapshots } from '../snapshots/snapshot-table.ts'
import type { WarmPoolRow } from './warm-pool-table.ts'
import { warmPoolDemand, warmPools } from './warm-pool-table.ts'

export interface WarmPool {
  pool: WarmPoolRow
  /** Null when the snapshot is gone. */
  snapshot: SnapshotRow | null
  /** Null for an operator's pool. */
  organization: OrganizationRow | null
}

export interface WarmMember
  extends Pick<
    SandboxRow,
    | 'id'
    | 'state'
    | 'desiredState'
    | 'lost'
    | 'snapshotRef'
    | 'runnerId'
    | 'errorReason'
    | 'createdAt'
    | 'warmRunnerVersion'
  > {
  poolId: string
}

/** The columns of a runner that a pool needs. */
export type WarmRunner = Pick<
  typeof runners.$inferSelect,
  | ('id' | 'region' | 'version' | 'abilities' | 'unschedulable' | 'draining' | 'class' | 'lastSeenAt')
  | ('cpu' | 'memoryGib' | 'diskGib' | 'capacity')
>

/** The SQL of warm pools, except claims. */
export interface WarmPoolStore {
  /** Returns all pools. */
  pools(): Promise<WarmPool[]>
  /** Returns an organization's pools, in the caller's transaction if one is given. */
  poolsOf(organizationId: string, tx?: Queryable): Promise<WarmPool[]>
  /** Writes a new pool. Returns undefined when the organization already has one of that snapshot and region. */
  insert(tx: Queryable, pool: typeof warmPools.$inferInsert): Promise<WarmPoolRow | undefined>
  resize(pool: { id: string; organizationId: string }, size: number, at: Date): Promise<boolean>
  remove(id: string, organizationId: string): Promise<boolean>
  removeAll(tx: Queryable, organizationId: string): Promise<void>
  /** Writes what a pass found of a pool. */
  note(id: string, columns: Partial<Pick<WarmPoolRow, 'size' | 'errorReason' | 'pausedUntil'>>): Promise<void>
  /** Adds and deletes pools so that the operator has one for each of these kinds, and no other. */
  setOperators(kinds: readonly { snapshotId: string; target: string }[], at: Date): Promise<void>
  /** Returns the general snapshots with these names: the built-in one first, then the oldest first. */
  generalSnapshots(names: readonly string[]): Promise<SnapshotRow[]>
  /** Returns the ids of the shared regions. */
  sharedRegions(): Promise<string[]>
  runners(): Promise<WarmRunner[]>
  /** Returns every member that is not destroyed. */
  members(): Promise<WarmMember[]>
  /** Returns the number of started members, by pool. */
  readyCounts(): Promise<Map<string, number>>
  /** Returns the creates by pool and span from `since` on, and deletes older ones. */
  demand(since: Date): Promise<Map<string, number[]>>
  /** Whether sandboxes outside the pools are on their way to being started. */
  isBusy(): Promise<boolean>
}

export function createWarmPoolStore({ db }: Pick<Database, 'db'>): WarmPoolStore {
  return {
    pools: () => pools(db, undefined),
    poolsOf: (organizationId, tx = db) => pools(tx, eq(warmPools.organizationId, organizationId)),
    async insert(tx, pool) {
      const [row] = await tx.insert(warmPools).values(pool).onConflictDoNothing().returning()
      return row
    },
    async resize({ id, organizationId }, size, at) {
      const columns = { size, errorReason: null, pausedUntil: null, updatedAt: at }
      const rows = await db
        .update(warmPools)
        .set(columns)
        .where(ownedBy(id, organizationId))
        .returning({ id: warmPools.id })
      return rows.length > 0
    },
    async remove(id, organizationId) {
      const rows = await db.delete(warmPools).where(ownedBy(id, organizationId)).returning({ id: warmPools.id })
      return rows.length > 0
    },
    async removeAll(tx, organizationId) {
      await tx.delete(warmPools).where(eq(warmPools.organizationId, organizationId))
    },
    async note(id, columns) {
      await db.update(warmPools).set(columns).where(eq(warmPools.id, id))
    },
    setOperators: (kinds, at) => setOperators(db, kinds, at),
    async generalSnapshots(names) {
      if (names.length === 0) return []
      const named = and(inArray(snapshots.name, [...names]), eq(snapshots.general, true))
      return await db
        .select()
        .from(snapshots)
        .where(and(named, notInArray(snapshots.state, ['removing', 'removed'])))
        .orderBy(sql`${snapshots.organizationId} is not null`, snapshots.createdAt)
    },
    async sharedRegions() {
      const rows = await db.select({ id: regions.id }).from(regions).where(isNull(regions.organizationId))
      return rows.map(({ id }) => id)
    },
    async runners() {
      return await db.select().from(runners).where(isNull(runners.removedAt))
    },
    members: () => members(db),
    async readyCounts() {
      const ready = and(
        eq(sandboxes.state, 'started'),
        eq(sandboxes.desiredState, 'started'),
        eq(sandboxes.lost, false),
      )
      const rows = await db
        .select({ poolId: sandboxes.warmPoolId, ready: count() })
        .from(sandboxes)
        .where(and(isNotNull(sandboxes.warmPoolId), ready))
        .groupBy(sandboxes.warmPoolId)
      return new Map(rows.map(({ poolId, ready }) => [poolId ?? '', ready]))
    },
    async demand(since) {
      await db.delete(warmPoolDemand).where(lt(warmPoolDemand.span, since))
      const rows = await db.select().from(warmPoolDemand).where(gte(warmPoolDemand.span, since))
      const byPool = new Map<string, number[]>()
      for (const { poolId, claims, misses } of rows) {
        byPool.set(poolId, [...(byPool.get(poolId) ?? []), claims + misses])
      }
      return byPool
    },
    isBusy: () => isBusy(db),
  }
}

function ownedBy(id: string, organizationId: string): SQL | undefined {
  return and(eq(warmPools.id, id), eq(warmPools.organizationId, organizationId))
}

async function pools(db: Queryable, which: SQL | undefined): Promise<WarmPool[]> {
  return await db
    .select({ pool: warmPools, snapshot: snapshots, organization: organizations })
    .from(warmPools)
    .leftJoin(snapshots, eq(snapshots.id, warmPools.snapshotId))
    .leftJoin(organizations, eq(organizations.id, warmPools.organizationId))
    .where(which)
    .orderBy(warmPools.createdAt, warmPools.id)
}

async function members(db: Queryable): Promise<WarmMember[]> {
  const { id, state, desiredState, lost, snapshotRef, runnerId, errorReason, createdAt, warmRunnerVersion } = sandboxes
  const rows = await db
    .select({
      ...{ id, state, desiredState, lost, snapshotRef, runnerId, errorReason, createdAt, warmRunnerVersion },
      poolId: sandboxes.warmPoolId,
    })
    .from(sandboxes)
    .where(and(isNotNull(sandboxes.warmPoolId), ne(sandboxes.state, 'destroyed')))
  return rows.map(({ poolId, ...row }) => ({ ...row, poolId: poolId ?? '' }))
}

async function setOperators(
  db: Queryable,
  kinds: readonly { snapshotId: string; target: string }[],
  at: Date,
): Promise<void> {
  const operators = isNull(warmPools.organizationId)
  const known = await db.select().from(warmPools).where(operators)
  const same = (one: { snapshotId: string; target: string }) => (other: { snapshotId: string; target: string }) =>
    one.snapshotId === other.snapshotId && one.target === other.target
  const gone = known.filter((pool) => !kinds.some(same(pool))).map(({ id }) => id)
  if (gone.length > 0) await db.delete(warmPools).where(and(operators, inArray(warmPools.id, gone)))
  const fresh = kinds.filter((kind) => !known.some(same(kind)))
  if (fresh.length === 0) return
  const rows = fresh.map((kind) => ({ ...kind, size: 0, createdAt: at, updatedAt: at }))
  await db.insert(warmPools).values(rows).onConflictDoNothing()
}

async function isBusy(db: Queryable): Promise<boolean> {
  const onItsWay = sql`${sandboxes.state} <> ${sandboxes.desiredState} and ${sandboxes.desiredState} = 'started'
      and ${sandboxes.state} in ('creating', 'stopped')`
  const [row] = await db
    .select({ id: sandboxes.id })
    .from(sandboxes)
    .where(and(onItsWay, isNull(sandboxes.warmPoolId)))
    .limit(1)
  return row !== undefined
}
