import type { SQL } from 'drizzle-orm'
import { and, asc, eq, isNotNull, isNull, ne, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import type { Silence } from './runner-silence.ts'
import { isLostSince } from './runner-silence.ts'
import type { RunnerRow } from './runner-table.ts'
import { runners } from './runner-table.ts'

/** A runner, and what of its host is promised. */
export interface RunnerWithUse {
  runner: RunnerRow
  /** Sandboxes that live there, and of them those that run. */
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

export interface RunnerRemoval {
  /** The hash that takes the place of its token's. */
  tokenHash: string
  silence: Silence
  /** Also when it is lost with what lives there. */
  force: boolean
}

/** The SQL of the list of runners, as people keep it. Removed ones are not in it. */
export interface RunnerRegistryStore {
  /** In the order in which they were registered. */
  list(query: RunnerQuery): Promise<RunnerWithUse[]>
  /** Undefined when the name or the token is taken. */
  insert(runner: NewRunner): Promise<string | undefined>
  /** False for an unknown id. */
  setFlags(id: string, flags: RunnerFlags): Promise<boolean>
  /** Also ends what speaks for it. `in use`: a sandbox lives there; `lost`: so it does, and the runner is lost. */
  remove(id: string, removal: RunnerRemoval): Promise<'removed' | 'in use' | 'lost' | 'unknown'>
  /** Where a sandbox lives, whoever's it is. */
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
        .where(known(id))
        .returning({ id: runners.id })
      return rows.length > 0
    },
    remove: (id, { tokenHash, silence, force }) =>
      transaction(async (tx) => {
        // The lock keeps placement, which takes the same, from putting anything there meanwhile.
        const columns = { isLost: sql<boolean>`${isLostSince(silence)}` }
        const [row] = await tx.select(columns).from(runners).where(known(id)).for('no key update')
        if (row === undefined) return 'unknown'
        const living = and(eq(sandboxes.runnerId, id), ne(sandboxes.state, 'destroyed'))
        const held = await tx.select({ id: sandboxes.id }).from(sandboxes).where(living).limit(1)
        if (held.length > 0 && !(force && row.isLost)) return row.isLost ? 'lost' : 'in use'
        const gone = { connectionId: null, lastSeenAt: null, tokenHash }
        await tx
          .update(runners)
          .set({ ...gone, removedAt: sql`now()`, updatedAt: sql`now()` })
          .where(known(id))
        return 'removed'
      }),
    async runnerOf(sandboxId) {
      const somebodys = isNotNull(sandboxes.organizationId)
      const living = and(eq(sandboxes.id, sandboxId), ne(sandboxes.state, 'destroyed'), somebodys)
      const [row] = await db.select({ runnerId: sandboxes.runnerId }).from(sandboxes).where(living)
      return row?.runnerId ?? undefined
    },
  }
}

function known(id: string): SQL | undefined {
  return and(eq(runners.id, id), isNull(runners.removedAt))
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
