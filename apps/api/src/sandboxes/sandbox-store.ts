import { and, desc, eq, gt, inArray, ne, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { SandboxChangeStore, SandboxStoreOptions } from './sandbox-change-store.ts'
import { createSandboxChangeStore } from './sandbox-change-store.ts'
import type { SandboxEventRow, SandboxRow } from './sandbox-table.ts'
import { sandboxEvents, sandboxes } from './sandbox-table.ts'

/** Most sandboxes a list answers with, newest first. */
export const LIST_LIMIT = 10_000

/** What sandboxes take of a runner: cores and GiB. */
export interface RunnerUsage {
  cpu: number
  memoryGib: number
  diskGib: number
}

/** The SQL of sandboxes, save what reconciliation needs. Times are written from the clock given. */
export interface SandboxStore extends SandboxChangeStore {
  transaction: Database['transaction']
  /** A sandbox of an organization; one destroyed before `destroyedAfter` is not found. */
  find(id: string, organizationId: string, destroyedAfter: Date): Promise<SandboxRow | undefined>
  /** Those with all of `labels`, newest first: neither destroyed nor failed and marked for deletion. */
  list(organizationId: string, labels: Record<string, string>): Promise<SandboxRow[]>
  /** Replaces the labels of a sandbox that is not destroyed; false when there is none. */
  setLabels(id: string, organizationId: string, labels: Record<string, string>): Promise<boolean>
  /** Writes when sandboxes were last used (milliseconds since the epoch), all in one statement. */
  touch(activity: ReadonlyMap<string, number>): Promise<void>
  /** What is taken on each runner: disk by all that exists, cpu and memory by all that runs or shall. */
  usage(tx: Queryable, runnerIds: readonly string[]): Promise<Map<string, RunnerUsage>>
  /** The sandbox whose running toolbox has the token with this SHA-256. */
  findByToolboxToken(tokenHash: string): Promise<{ id: string } | undefined>
  /** Rows by id, destroyed ones too, whichever organization and runner they belong to. */
  findMany(ids: readonly string[]): Promise<SandboxRow[]>
  /** Ids of those that are stored as running on a runner. */
  startedOn(runnerId: string): Promise<string[]>
  /** What happened to a sandbox, oldest first. */
  events(sandboxId: string): Promise<SandboxEventRow[]>
}

export function createSandboxStore(options: SandboxStoreOptions): SandboxStore {
  const { database, now } = options
  const { db } = database
  return {
    ...createSandboxChangeStore(options),
    transaction: (work) => database.transaction(work),
    find: (id, organizationId, destroyedAfter) => find(db, { id, organizationId, destroyedAfter }),
    list: (organizationId, labels) => list(db, organizationId, labels),
    async setLabels(id, organizationId, labels) {
      const mine = and(eq(sandboxes.id, id), eq(sandboxes.organizationId, organizationId))
      const rows = await db
        .update(sandboxes)
        .set({ labels, updatedAt: new Date(now()) })
        .where(and(mine, ne(sandboxes.state, 'destroyed')))
        .returning({ id: sandboxes.id })
      return rows.length > 0
    },
    touch: (activity) => touch(database, activity),
    usage,
    async findByToolboxToken(tokenHash) {
      const mine = eq(sandboxes.toolboxTokenHash, tokenHash)
      const [row] = await db.select({ id: sandboxes.id }).from(sandboxes).where(mine)
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
    async events(sandboxId) {
      const mine = eq(sandboxEvents.sandboxId, sandboxId)
      return await db.select().from(sandboxEvents).where(mine).orderBy(sandboxEvents.id)
    },
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

// drizzle takes the pool's serialiser for arrays of times away, so these travel as text.
async function touch({ sql: query }: Database, activity: ReadonlyMap<string, number>): Promise<void> {
  const ids = [...activity.keys()]
  const times = [...activity.values()].map((time) => new Date(time).toISOString())
  await query`
    update sandboxes set last_activity_at = greatest(sandboxes.last_activity_at, used.at)
    from unnest(${ids}::uuid[], ${times}::text[]::timestamptz[]) as used(id, at)
    where sandboxes.id = used.id`
}

async function usage(tx: Queryable, runnerIds: readonly string[]): Promise<Map<string, RunnerUsage>> {
  const runs = sql`${sandboxes.state} <> 'error'
    and (${sandboxes.state} <> 'stopped' or ${sandboxes.desiredState} = 'started')`
  const rows = await tx
    .select({
      runnerId: sandboxes.runnerId,
      cpu: sql<number>`coalesce(sum(${sandboxes.cpu}) filter (where ${runs}), 0)::float8`,
      memoryGib: sql<number>`coalesce(sum(${sandboxes.memoryGib}) filter (where ${runs}), 0)::float8`,
      diskGib: sql<number>`sum(${sandboxes.diskGib})::float8`,
    })
    .from(sandboxes)
    .where(and(inArray(sandboxes.runnerId, [...runnerIds]), ne(sandboxes.state, 'destroyed')))
    .groupBy(sandboxes.runnerId)
  return new Map(rows.map(({ runnerId, ...taken }) => [runnerId, taken]))
}
