import type { ListSnapshots, SnapshotSortField, StoredSnapshotState } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, asc, desc, eq, inArray, isNotNull, isNull, lt, ne, notInArray, or, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { SnapshotUsage } from '../organizations/quota-limits.ts'
import { leaseHeldBy } from '../reconciliation/row-leases.ts'
import { runners } from '../runners/runner-table.ts'
import type { SnapshotChangeStore, SnapshotStoreOptions } from './snapshot-change-store.ts'
import { createSnapshotChangeStore } from './snapshot-change-store.ts'
import { SNAPSHOT_UNDER_WAY } from './snapshot-limits.ts'
import type { SnapshotRow } from './snapshot-table.ts'
import { snapshots } from './snapshot-table.ts'

/** The organization whose snapshots are listed, and the page. */
export interface SnapshotListRequest {
  organizationId: string
  /** Whether the list includes snapshots that every organization may use. */
  withGeneral: boolean
  query: ListSnapshots
  skip: number
  limit: number
}

/** The SQL of snapshots, except for what runners hold. */
export interface SnapshotStore extends SnapshotChangeStore {
  /**
   * Returns the snapshot that an organization means by a name or an id: its own of that name, else a general one of
   * that name, else one of that id.
   */
  find(organizationId: string, idOrName: string): Promise<SnapshotRow | undefined>
  findById(id: string): Promise<SnapshotRow | undefined>
  /** Returns rows by id, in any state and of any organization. */
  findMany(ids: readonly string[]): Promise<SnapshotRow[]>
  /** Returns a page, and the number of all rows. */
  list(request: SnapshotListRequest): Promise<{ rows: SnapshotRow[]; total: number }>
  /** Returns an organization's usage of what its quotas bound. */
  usage(tx: Queryable, organizationId: string): Promise<SnapshotUsage>
  /** Locks and returns an organization's snapshot of this build that is usable or still being made, as `lockUsable` does. */
  findBuild(tx: Queryable, organizationId: string, ref: string): Promise<SnapshotRow | undefined>
  /** Sets a flag. Returns undefined when there is no such row. */
  setFlag(id: string, flag: { enabled: boolean } | { general: boolean }): Promise<SnapshotRow | undefined>
  /** Locks and returns the row, unless it is removed. Its state stays as it is until `tx` ends. */
  lockUsable(tx: Queryable, id: string): Promise<SnapshotRow | undefined>
  /** Records that a sandbox is made from the snapshot; `known` is its row as last read. */
  setUsed(tx: Queryable, known: Pick<SnapshotRow, 'id' | 'lastUsedAt'>): Promise<void>
  /** Returns the row while `owner` holds its lease. */
  readLeased(id: string, owner: string): Promise<SnapshotRow | undefined>
  /** Sets the runner that makes the snapshot. Returns false when the lease is lost. */
  setRunner(id: string, owner: string, runnerId: string): Promise<boolean>
  /** Records that the runner was asked: its reports of the ref count from now on. */
  setAsked(id: string): Promise<void>
  /** Sets the runner and `asked` at once, for an upload, which has no lease. */
  placeUpload(id: string, runnerId: string): Promise<void>
  /** Takes what is being made from removed runners, so that others make it (M7). No lease on it counts any more. */
  takeFromRemoved(): Promise<void>
  /** Returns the snapshots that have been in `state` since before `before`. */
  standing(state: StoredSnapshotState, before: Date): Promise<SnapshotRow[]>
  /** Returns the snapshots that have been unused since before `before`. */
  unused(before: Date): Promise<SnapshotRow[]>
}

export function createSnapshotStore(options: SnapshotStoreOptions): SnapshotStore {
  const { database, now } = options
  const { db } = database
  return {
    ...createSnapshotChangeStore(options),
    find: (organizationId, idOrName) => find(db, organizationId, idOrName),
    async findById(id) {
      const [row] = await db.select().from(snapshots).where(eq(snapshots.id, id))
      return row
    },
    async findMany(ids) {
      return await db
        .select()
        .from(snapshots)
        .where(inArray(snapshots.id, [...ids]))
    },
    list: (request) => list(db, request),
    usage,
    findBuild,
    async setFlag(id, flag) {
      const [row] = await db
        .update(snapshots)
        .set({ ...flag, updatedAt: new Date(now()) })
        .where(and(eq(snapshots.id, id), ne(snapshots.state, 'removed')))
        .returning()
      return row
    },
    async lockUsable(tx, id) {
      const mine = and(eq(snapshots.id, id), ne(snapshots.state, 'removed'))
      // Not `for update`: many sandboxes are made from one snapshot at once, and only a change of its state has to
      // wait.
      const locking = tx.select().from(snapshots).where(mine).for('key share')
      const [row] = await locking.prepare('lock_snapshot').execute()
      return row
    },
    setUsed: (tx, known) => setUsed(tx, known, new Date(now())),
    async readLeased(id, owner) {
      const [row] = await db
        .select()
        .from(snapshots)
        .where(and(eq(snapshots.id, id), leaseHeldBy(owner)))
      return row
    },
    async setRunner(id, owner, runnerId) {
      const rows = await db
        .update(snapshots)
        .set({ runnerId })
        .where(and(eq(snapshots.id, id), leaseHeldBy(owner)))
        .returning({ id: snapshots.id })
      return rows.length > 0
    },
    async setAsked(id) {
      await db.update(snapshots).set({ asked: true }).where(eq(snapshots.id, id))
    },
    async placeUpload(id, runnerId) {
      await db.update(snapshots).set({ runnerId, asked: true }).where(eq(snapshots.id, id))
    },
    takeFromRemoved: () => takeFromRemoved(db),
    async standing(state, before) {
      const since = and(eq(snapshots.state, state), lt(snapshots.changedAt, before))
      return await db.select().from(snapshots).where(since).limit(SWEPT_AT_ONCE)
    },
    unused: (before) => unused(db, before),
  }
}

/** Writes once a minute at most, because many creates may use one snapshot. */
async function setUsed(tx: Queryable, known: Pick<SnapshotRow, 'id' | 'lastUsedAt'>, at: Date): Promise<void> {
  const { id, lastUsedAt } = known
  const before = new Date(at.getTime() - USED_PRECISION_MS)
  if (lastUsedAt !== null && lastUsedAt >= before) return
  await tx
    .update(snapshots)
    .set({ lastUsedAt: at })
    .where(and(eq(snapshots.id, id), or(isNull(snapshots.lastUsedAt), lt(snapshots.lastUsedAt, before))))
    .prepare('set_snapshot_used')
    .execute()
}

async function find(db: Queryable, organizationId: string, idOrName: string): Promise<SnapshotRow | undefined> {
  const byName = eq(snapshots.name, idOrName)
  const mine = eq(snapshots.organizationId, organizationId)
  const [row] = await db
    .select()
    .from(snapshots)
    .where(
      and(
        ne(snapshots.state, 'removed'),
        isNotNull(snapshots.name),
        or(mine, and(eq(snapshots.general, true), eq(snapshots.enabled, true))),
        or(byName, sql`${snapshots.id}::text = lower(${idOrName})`),
      ),
    )
    .orderBy(sql`case when ${byName} and ${mine} then 0 when ${byName} then 1 else 2 end`, snapshots.createdAt)
    .limit(1)
    .prepare('find_snapshot')
    .execute()
  return row
}

async function findBuild(tx: Queryable, organizationId: string, ref: string): Promise<SnapshotRow | undefined> {
  const mine = and(eq(snapshots.organizationId, organizationId), eq(snapshots.ref, ref))
  const usable = notInArray(snapshots.state, ['inactive', 'error', 'build_failed', 'removing', 'removed'])
  const [row] = await tx
    .select()
    .from(snapshots)
    .where(and(mine, usable))
    .orderBy(snapshots.createdAt)
    .limit(1)
    .for('key share')
  return row
}

async function list(db: Queryable, request: SnapshotListRequest): Promise<{ rows: SnapshotRow[]; total: number }> {
  const { organizationId, withGeneral, query, skip, limit } = request
  const mine = eq(snapshots.organizationId, organizationId)
  const general = and(eq(snapshots.general, true), eq(snapshots.enabled, true))
  const { name, sourceSandboxId } = query
  const where = and(
    ne(snapshots.state, 'removed'),
    isNotNull(snapshots.name),
    withGeneral ? or(mine, general) : mine,
    name ? sql`position(lower(${name}) in lower(${snapshots.name})) > 0` : undefined,
    sourceSandboxId ? sql`${snapshots.sourceSandboxId}::text = lower(${sourceSandboxId})` : undefined,
  )
  const [counted] = await db.select({ total: sql<number>`count(*)::int` }).from(snapshots).where(where)
  const rows = await db
    .select()
    .from(snapshots)
    .where(where)
    .orderBy(...orderOf(query))
    .limit(limit)
    .offset(skip)
  return { rows, total: counted?.total ?? 0 }
}

const sortColumns = {
  name: snapshots.name,
  state: snapshots.state,
  lastUsedAt: snapshots.lastUsedAt,
  createdAt: snapshots.createdAt,
} as const satisfies Record<SnapshotSortField, unknown>

/** Returns the order of §9. Without `sort`: general snapshots last, then the last used first, then the newest first. */
function orderOf({ sort, order }: ListSnapshots): SQL[] {
  const rest = [asc(snapshots.general), sql`${snapshots.lastUsedAt} desc nulls last`]
  const last = [desc(snapshots.createdAt), asc(snapshots.id)]
  if (sort === undefined) return [...rest, ...last]
  const column = sortColumns[sort]
  return [order === 'asc' ? sql`${column} asc nulls last` : sql`${column} desc nulls last`, ...last]
}

async function usage(tx: Queryable, organizationId: string): Promise<SnapshotUsage> {
  const [taken] = await tx
    .select({
      snapshots: sql<number>`count(*)::float8`,
      totalGib: sql<number>`coalesce(sum(${snapshots.sizeGib}), 0)::float8`,
    })
    .from(snapshots)
    .where(
      and(
        eq(snapshots.organizationId, organizationId),
        isNotNull(snapshots.name),
        notInArray(snapshots.state, ['removing', 'removed']),
      ),
    )
  if (taken === undefined) throw new Error('a sum has no row')
  return taken
}

/** Its transaction may be the one that removes a runner: then no step there is recorded after it. */
export async function takeFromRemoved(db: Queryable): Promise<void> {
  const removed = db.select({ id: runners.id }).from(runners).where(isNotNull(runners.removedAt))
  await db
    .update(snapshots)
    .set({
      ...{ runnerId: null, leaseOwner: null, leaseExpiresAt: null, attempts: 0, nextAttemptAt: null },
      // What was uploaded is gone with the runner.
      asked: sql`${snapshots.kind} = 'archive'`,
    })
    .where(and(inArray(snapshots.state, SNAPSHOT_UNDER_WAY), inArray(snapshots.runnerId, removed)))
}

async function unused(db: Queryable, before: Date): Promise<SnapshotRow[]> {
  return await db
    .select()
    .from(snapshots)
    .where(
      and(
        inArray(snapshots.state, ['active', 'inactive']),
        ne(snapshots.kind, 'builtin'),
        or(eq(snapshots.state, 'active'), sql`${snapshots.name} is null`),
        sql`greatest(${snapshots.lastUsedAt}, ${snapshots.changedAt}, ${snapshots.createdAt}) < ${before.toISOString()}`,
        sql`not exists (select 1 from sandboxes where sandboxes.snapshot_id = ${snapshots.id}
          and sandboxes.state <> 'destroyed')`,
      ),
    )
    .limit(SWEPT_AT_ONCE)
}

/** How far `last_used_at` may lag behind the last use, in milliseconds. */
const USED_PRECISION_MS = 60_000

/** The most rows that one sweep handles. */
const SWEPT_AT_ONCE = 1_000
