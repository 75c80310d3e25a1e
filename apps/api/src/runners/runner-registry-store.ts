import { and, asc, eq, isNotNull, isNull, ne, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import type { RemovalOutcome, RunnerRemoval } from './runner-removal.ts'
import { removeRunner } from './runner-removal.ts'
import { isKnown } from './runner-silence.ts'
import type { RunnerRow } from './runner-table.ts'
import { runners } from './runner-table.ts'

/** A runner, and the resources of its host that are promised. */
export interface RunnerWithUse {
  runner: RunnerRow
  /** The number of sandboxes on the runner, and of those of them that run. */
  used: number
  started: number
  /** Cores and GiB. */
  cpu: number
  memoryGib: number
  diskGib: number
}

export interface RunnerQuery {
  id?: string
  region?: string | undefined
}

export type NewRunner = typeof runners.$inferInsert
export type RunnerFlags = Partial<Pick<RunnerRow, 'unschedulable' | 'draining'>>

/** The SQL of the list of runners that administrators keep. Removed ones are not in it. */
export interface RunnerRegistryStore {
  /** Returns runners in the order in which they were registered. */
  list(query: RunnerQuery): Promise<RunnerWithUse[]>
  /** Inserts a runner and returns its id; undefined if the name or the token is taken. */
  insert(runner: NewRunner): Promise<string | undefined>
  /** Sets flags. Returns false for an unknown id. */
  setFlags(id: string, flags: RunnerFlags): Promise<boolean>
  /** Removes a runner and ends its connection. */
  remove(id: string, removal: RunnerRemoval): Promise<RemovalOutcome>
  /** Returns the runner of a sandbox of any organization. */
  runnerOf(sandboxId: string): Promise<string | undefined>
}

export function createRunnerRegistryStore({ db, transaction }: Database): RunnerRegistryStore {
  return {
    list: (query) => list(db, query),
    async insert(runner) {
      const [row] = await db.insert(runners).values(runner).onConflictDoNothing().returning({ id: runners.id })
      return row?.id
    },
    async setFlags(id, flags) {
      const rows = await db
        .update(runners)
        .set({ ...flags, updatedAt: sql`now()` })
        .where(isKnown(id))
        .returning({ id: runners.id })
      return rows.length > 0
    },
    remove: (id, removal) => transaction((tx) => removeRunner(tx, id, removal)),
    async runnerOf(sandboxId) {
      const somebodys = isNotNull(sandboxes.organizationId)
      const living = and(eq(sandboxes.id, sandboxId), ne(sandboxes.state, 'destroyed'), somebodys)
      const [row] = await db.select({ runnerId: sandboxes.runnerId }).from(sandboxes).where(living)
      return row?.runnerId ?? undefined
    },
  }
}

async function list(db: Queryable, { id, region }: RunnerQuery): Promise<RunnerWithUse[]> {
  const runs = sql`${sandboxes.state} = 'started'`
  const counts = sql`${sandboxes.state} <> 'error'
    and (${sandboxes.state} <> 'stopped' or ${sandboxes.desiredState} = 'started')`
  return await db
    .select({
      runner: runners,
      used: sql<number>`count(${sandboxes.id})::integer`,
      started: sql<number>`(count(*) filter (where ${runs}))::integer`,
      cpu: sql<number>`coalesce(sum(${sandboxes.cpu}) filter (where ${counts}), 0)::float8`,
      memoryGib: sql<number>`coalesce(sum(${sandboxes.memoryGib}) filter (where ${counts}), 0)::float8`,
      diskGib: sql<number>`coalesce(sum(${sandboxes.diskGib}), 0)::float8`,
    })
    .from(runners)
    .leftJoin(sandboxes, and(eq(sandboxes.runnerId, runners.id), ne(sandboxes.state, 'destroyed')))
    .where(
      and(
        isNull(runners.removedAt),
        id === undefined ? undefined : eq(runners.id, id),
        region === undefined ? undefined : eq(runners.region, region),
      ),
    )
    .groupBy(runners.id)
    .orderBy(asc(runners.createdAt), asc(runners.id))
}
