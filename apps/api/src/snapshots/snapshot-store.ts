import type { ListSnapshots, SnapshotSortField, StoredSnapshotState } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, asc, desc, eq, inArray, isNotNull, isNull, lt, ne, notInArray, or, sql } from 'drizzle-orm'
import type { Queryable } from '../database/database.ts'
import type { SnapshotUsage } from '../organizations/quota-limits.ts'
import { leaseHeldBy } from '../reconciliation/row-leases.ts'
import type { SnapshotChangeStore, SnapshotStoreOptions } from './snapshot-change-store.ts'
import { createSnapshotChangeStore } from './snapshot-change-store.ts'
import type { SnapshotRow } from './snapshot-table.ts'
import { snapshots } from './snapshot-table.ts'

/** Whose snapshots are meant, and which page of them. */
export interface SnapshotListRequest {
  organizationId: string
  /** Also those that every organization may use. */
  withGeneral: boolean
  query: ListSnapshots
  skip: number
  limit: number
}

/** The SQL of snapshots, save what runners hold. */
export interface SnapshotStore extends SnapshotChangeStore {
  /** What an organization means by a name or an id: its own of that name, a general one of that name, one of that id. */
  find(organizationId: string, idOrName: string): Promise<SnapshotRow | undefined>
  findById(id: string): Promise<SnapshotRow | undefined>
  /** Rows by id, whatever their state and whoever's they are. */
  findMany(ids: readonly string[]): Promise<SnapshotRow[]>
  /** A page, and how many there are. */
  list(request: SnapshotListRequest): Promise<{ rows: SnapshotRow[]; total: number }>
  /** What an organization has of the kinds that its quotas bound. */
  usage(tx: Queryable, organizationId: string): Promise<SnapshotUsage>
  /** One of an organization that can be used for sandboxes with this build, or will be. */
  findBuild(tx: Queryable, organizationId: string, ref: string): Promise<SnapshotRow | undefined>
  /** Sets a flag; undefined when there is no such row. */
  setFlag(id: string, flag: { enabled: boolean } | { general: boolean }): Promise<SnapshotRow | undefined>
  /** The row, unless it is removed; it stays as it is until `tx` is through. */
  lockUsable(tx: Queryable, id: string): Promise<SnapshotRow | undefined>
  /** A sandbox is made from what is `known` of it. */
  setUsed(tx: Queryable, known: Pick<SnapshotRow, 'id' | 'lastUsedAt'>): Promise<void>
  /** The row while `owner` holds its lease. */
  readLeased(id: string, owner: string): Promise<SnapshotRow | undefined>
  /** Decides where it is made. False when the lease is lost. */
  setRunner(id: string, owner: string, runnerId: string): Promise<boolean>
  /** From now on what its runner says of it is meant. */
  setAsked(id: string): Promise<void>
  /** Both at once, for an upload that no lease is held for. */
  placeUpload(id: string, runnerId: string): Promise<void>
  /** Those that have stood in `state` since before `before`. */
  standing(state: StoredSnapshotState, before: Date): Promise<SnapshotRow[]>
  /** Those that lie unused since before `before`. */
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
    async findBuild(tx, organizationId, ref) {
      const mine = and(eq(snapshots.organizationId, organizationId), eq(snapshots.ref, ref))
      const usable = notInArray(snapshots.state, ['inactive', 'error', 'build_failed', 'removing', 'removed'])
      const [row] = await tx.select().from(snapshots).where(and(mine, usable)).orderBy(snapshots.createdAt).limit(1)
      return row
    },
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
      // Not `for update`: many sandboxes are made from one at once, and only its deletion has to wait.
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
    async standing(state, before) {
      const since = and(eq(snapshots.state, state), lt(snapshots.changedAt, before))
      return await db.select().from(snapshots).where(since).limit(SWEPT_AT_ONCE)
    },
    unused: (before) => unused(db, before),
  }
}

/** Written once a minute: what everybody uses is not written by everybody. */
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

/** General ones last, then those used last first, then the newest: §9. */
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

/** How old a note of the last use may be, in milliseconds. */
const USED_PRECISION_MS = 60_000

/** Rows that one look of the sweep deals with. */
const SWEPT_AT_ONCE = 1_000
