import type { SQL } from 'drizzle-orm'
import { and, desc, eq, gt, inArray, isNull, ne, notInArray, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { SandboxUsage } from '../organizations/quota-limits.ts'
import { runners } from '../runners/runner-table.ts'
import { warmPools } from '../warm-pools/warm-pool-table.ts'
import type { SandboxChangeStore, SandboxStoreOptions } from './sandbox-change-store.ts'
import { createSandboxChangeStore, notifyOf } from './sandbox-change-store.ts'
import type { SandboxEventRow, SandboxRow } from './sandbox-table.ts'
import { sandboxEvents, sandboxes } from './sandbox-table.ts'

/** The most sandboxes that a list returns, newest first. */
export const LIST_LIMIT = 10_000

/** The resources of a runner that sandboxes take: cores and GiB. */
export interface RunnerUsage {
  cpu: number
  memoryGib: number
  diskGib: number
  /** The number of all sandboxes that exist there. */
  sandboxes: number
}

/** The columns that can be set whatever a sandbox is doing. */
export type SandboxSettingColumns = Partial<
  Pick<
    SandboxRow,
    'labels' | 'public' | 'autoStopMinutes' | 'autoArchiveMinutes' | 'autoDeleteMinutes' | 'autoDestroyAt'
  >
>

/** The SQL of sandboxes, without that of reconciliation. Times are written by the clock that is passed in. */
export interface SandboxStore extends SandboxChangeStore {
  transaction: Database['transaction']
  /** Returns a sandbox of an organization; one destroyed before `destroyedAfter` is not found. */
  find(id: string, organizationId: string, destroyedAfter: Date): Promise<SandboxRow | undefined>
  /** Returns the id of the sandbox that has this name and is not destroyed. */
  findIdByName(name: string, organizationId: string): Promise<string | undefined>
  /** Returns sandboxes with all of `labels`, newest first, without destroyed ones and failed ones marked for deletion. */
  list(organizationId: string, labels: Record<string, string>): Promise<SandboxRow[]>
  /** Sets columns of a sandbox that is not destroyed; undefined when there is none. */
  set(id: string, organizationId: string, columns: SandboxSettingColumns): Promise<SandboxRow | undefined>
  /**
   * Writes when sandboxes were last used (milliseconds since the epoch), all in one statement. The later time counts, but a
   * stored time that lies ahead of the clock is replaced.
   */
  touch(activity: ReadonlyMap<string, number>): Promise<void>
  /**
   * Returns what is taken on each of some runners, or of the runners of a region: the disk of all sandboxes that exist, cpu
   * and memory of all that run or are to run. Members of warm pools, which make room for others, count only `withWarm`.
   */
  usage(
    tx: Queryable,
    on: readonly string[] | { region: string },
    withWarm?: 'withWarm',
  ): Promise<Map<string, RunnerUsage>>
  /** Returns what the sandboxes of an organization take of its quotas. */
  organizationUsage(tx: Queryable, organizationId: string): Promise<SandboxUsage>
  /** Returns the sandbox whose running toolbox has the token with this SHA-256. */
  findByToolboxToken(tokenHash: string): Promise<{ id: string } | undefined>
  /** Returns a row by id, a destroyed one too, of any organization and runner. */
  findOne(id: string): Promise<SandboxRow | undefined>
  /** Returns several such rows. */
  findMany(ids: readonly string[]): Promise<SandboxRow[]>
  /** Returns the ids of the sandboxes that are stored as running on a runner. */
  startedOn(runnerId: string): Promise<string[]>
  /** Returns the ids of the sandboxes that are lost on a runner. */
  lostOn(runnerId: string): Promise<string[]>
  /** Returns the events of a sandbox, oldest first. */
  events(sandboxId: string): Promise<SandboxEventRow[]>
}

export function createSandboxStore(options: SandboxStoreOptions): SandboxStore {
  const { database, changes, now } = options
  const { db } = database
  const { findById, findByToken } = prepareLookups(db)
  return {
    ...createSandboxChangeStore(options),
    transaction: (work) => database.transaction(work),
    find: (id, organizationId, destroyedAfter) => find(db, { id, organizationId, destroyedAfter }),
    async findIdByName(name, organizationId) {
      const mine = and(eq(sandboxes.organizationId, organizationId), eq(sandboxes.name, name))
      const [row] = await db
        .select({ id: sandboxes.id })
        .from(sandboxes)
        .where(and(mine, ne(sandboxes.state, 'destroyed')))
      return row?.id
    },
    list: (organizationId, labels) => list(db, organizationId, labels),
    async set(id, organizationId, columns) {
      const mine = and(eq(sandboxes.id, id), eq(sandboxes.organizationId, organizationId))
      const row = await database.transaction(async (tx) => {
        const [changed] = await tx
          .update(sandboxes)
          .set({ ...columns, updatedAt: new Date(now()) })
          .where(and(mine, ne(sandboxes.state, 'destroyed')))
          .returning()
        if (changed !== undefined) await tx.execute(notifyOf(changes.payload(changed)))
        return changed
      })
      // Caches of the row, such as whether its previews are public, are dropped.
      if (row !== undefined) changes.emit(row)
      return row
    },
    touch: (activity) => touch(database, activity, now()),
    usage,
    organizationUsage,
    async findByToolboxToken(tokenHash) {
      const [row] = await findByToken.execute({ tokenHash })
      return row
    },
    async findOne(id) {
      const [row] = await findById.execute({ id })
      return row
    },
    async findMany(ids) {
      if (ids.length === 0) return []
      return await db
        .select()
        .from(sandboxes)
        .where(inArray(sandboxes.id, [...ids]))
    },
    async startedOn(runnerId) {
      const running = and(eq(sandboxes.runnerId, runnerId), eq(sandboxes.state, 'started'))
      const rows = await db.select({ id: sandboxes.id }).from(sandboxes).where(running)
      return rows.map((row) => row.id)
    },
    async lostOn(runnerId) {
      const mine = and(eq(sandboxes.runnerId, runnerId), sql`${sandboxes.state} <> 'destroyed'`)
      const rows = await db
        .select({ id: sandboxes.id })
        .from(sandboxes)
        .where(and(mine, eq(sandboxes.lost, true)))
      return rows.map((row) => row.id)
    },
    async events(sandboxId) {
      const mine = eq(sandboxEvents.sandboxId, sandboxId)
      return await db.select().from(sandboxEvents).where(mine).orderBy(sandboxEvents.id)
    },
  }
}

/** Prepares the most frequent queries once, so that they are not built at each call. */
function prepareLookups(db: Queryable) {
  const { id, toolboxTokenHash } = sandboxes
  const byId = eq(id, sql.placeholder('id'))
  const byToken = eq(toolboxTokenHash, sql.placeholder('tokenHash'))
  return {
    findById: db.select().from(sandboxes).where(byId).prepare('find_sandbox'),
    findByToken: db.select({ id }).from(sandboxes).where(byToken).prepare('find_by_toolbox_token'),
  }
}

interface FindOptions {
  id: string
  organizationId: string
  destroyedAfter: Date
}

async function find(db: Queryable, options: FindOptions): Promise<SandboxRow | undefined> {
  const mine = and(eq(sandboxes.id, options.id), eq(sandboxes.organizationId, options.organizationId))
  const readable = or(ne(sandboxes.state, 'destroyed'), gt(sandboxes.changedAt, options.destroyedAfter))
  const [row] = await db.select().from(sandboxes).where(and(mine, readable))
  return row
}

async function list(db: Queryable, organizationId: string, labels: Record<string, string>): Promise<SandboxRow[]> {
  const labelled = sql`${sandboxes.labels} @> ${JSON.stringify(labels)}::jsonb`
  return await db
    .select()
    .from(sandboxes)
    .where(
      and(
        eq(sandboxes.organizationId, organizationId),
        ne(sandboxes.state, 'destroyed'),
        or(ne(sandboxes.state, 'error'), ne(sandboxes.desiredState, 'destroyed')),
        Object.keys(labels).length === 0 ? undefined : labelled,
      ),
    )
    .orderBy(desc(sandboxes.createdAt), sandboxes.id)
    .limit(LIST_LIMIT)
}

/** The most that clocks of replicas disagree, in milliseconds. A time further ahead is from before a clock was set back. */
const CLOCKS_APART_MS = 60_000

// drizzle removes the pool's serialiser for arrays of times, so the times are sent as text. Rows are locked in the order
// of their ids, so that no two replicas block each other.
async function touch({ sql: query }: Database, activity: ReadonlyMap<string, number>, now: number): Promise<void> {
  const ids = [...activity.keys()]
  const times = [...activity.values()].map((time) => new Date(time).toISOString())
  const ahead = new Date(now + CLOCKS_APART_MS).toISOString()
  await query`
    with locked as (
      select sandboxes.id, used.at
      from unnest(${ids}::uuid[], ${times}::text[]::timestamptz[]) as used(id, at)
      join sandboxes on sandboxes.id = used.id
      order by sandboxes.id
      for no key update of sandboxes
    )
    update sandboxes set last_activity_at = case
      when sandboxes.last_activity_at > ${ahead}::timestamptz then locked.at
      else greatest(sandboxes.last_activity_at, locked.at) end
    from locked
    where sandboxes.id = locked.id`
}

/** The resources of a sandbox, or those that it is being resized to where these are more. */
const size = {
  cpu: sql`greatest(${sandboxes.cpu}, ${sandboxes.resizeCpu})`,
  memoryGib: sql`greatest(${sandboxes.memoryGib}, ${sandboxes.resizeMemoryGib})`,
  diskGib: sql`greatest(${sandboxes.diskGib}, ${sandboxes.resizeDiskGib})`,
}

const isStill = sql`(${sandboxes.state} in ('stopped', 'archived') and ${sandboxes.desiredState} <> 'started')`

async function usage(
  tx: Queryable,
  on: readonly string[] | { region: string },
  withWarm?: 'withWarm',
): Promise<Map<string, RunnerUsage>> {
  const runs = sql`${sandboxes.state} <> 'error' and not ${isStill}`
  const ids =
    'region' in on ? tx.select({ id: runners.id }).from(runners).where(eq(runners.region, on.region)) : [...on]
  const rows = await tx
    .select({
      runnerId: sandboxes.runnerId,
      cpu: sql<number>`coalesce(sum(${size.cpu}) filter (where ${runs}), 0)::float8`,
      memoryGib: sql<number>`coalesce(sum(${size.memoryGib}) filter (where ${runs}), 0)::float8`,
      diskGib: sql<number>`sum(${size.diskGib})::float8`,
      sandboxes: sql<number>`count(*)::integer`,
    })
    .from(sandboxes)
    .where(
      and(
        inArray(sandboxes.runnerId, ids),
        ne(sandboxes.state, 'destroyed'),
        withWarm === undefined ? isNull(sandboxes.warmPoolId) : undefined,
      ),
    )
    .groupBy(sandboxes.runnerId)
    .prepare('runner_usage')
    .execute()
  return new Map(rows.map(({ runnerId, ...taken }) => [runnerId ?? '', taken]))
}

/** Returns the condition for an organization's sandboxes and the members of its own warm pools. */
export function countsFor(organizationId: string): SQL | undefined {
  const pools = sql`array(select ${warmPools.id} from ${warmPools} where ${eq(warmPools.organizationId, organizationId)})`
  return or(eq(sandboxes.organizationId, organizationId), sql`${sandboxes.warmPoolId} = any(${pools})`)
}

async function organizationUsage(tx: Queryable, organizationId: string): Promise<SandboxUsage> {
  const runs = sql`not ${isStill}`
  // An archived sandbox takes no disk of a runner.
  const onDisk = sql`(${sandboxes.state} <> 'archived' or ${sandboxes.desiredState} = 'started')`
  const [taken] = await tx
    .select({
      cpu: sql<number>`coalesce(sum(${size.cpu}) filter (where ${runs}), 0)::float8`,
      memoryGib: sql<number>`coalesce(sum(${size.memoryGib}) filter (where ${runs}), 0)::float8`,
      diskGib: sql<number>`coalesce(sum(${size.diskGib}) filter (where ${onDisk}), 0)::float8`,
      sandboxes: sql<number>`count(*)::float8`,
      running: sql<number>`(count(*) filter (where ${runs}))::float8`,
    })
    .from(sandboxes)
    .where(and(countsFor(organizationId), notInArray(sandboxes.state, ['destroyed', 'error', 'build_failed'])))
    .prepare('organization_usage')
    .execute()
  if (taken === undefined) throw new Error('a sum has no row')
  return taken
}
