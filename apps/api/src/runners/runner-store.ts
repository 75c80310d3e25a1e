import type { RunnerInfo } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, gt, isNull, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { PlacementCandidate } from './placement.ts'
import { isKnown } from './runner-silence.ts'
import type { RunnerRow } from './runner-table.ts'
import { runners } from './runner-table.ts'

export interface CandidateFilter {
  /** Only runners that were heard of after this time. */
  seenAfter: Date
  /** Only runners of this region. */
  region?: string
  /** Only runners that take new sandboxes, of this class. */
  class?: 'small' | 'medium' | 'large'
  /** Only this runner. */
  id?: string
}

export interface Connection {
  runnerId: string
  connectionId: string
  at: Date
}

/** The SQL of runners. A connection that has been replaced can no longer write. */
export interface RunnerStore {
  /** Makes sure that a runner of this name exists with this token; returns its id. */
  ensure(runner: { name: string; tokenHash: string; region: string }): Promise<string>
  findByToken(tokenHash: string): Promise<{ id: string; name: string } | undefined>
  /** Takes the runner over for a new connection, not ready yet. From now on it is not lost. Returns false for a removed one. */
  claim(connection: Connection): Promise<boolean>
  /** Notes that the runner is not lost, ready or not. Returns false for a connection that speaks for the runner no more. */
  setHeard(connection: Connection): Promise<boolean>
  /** Stores the runner's info; from now on it is a candidate. */
  setInfo(connection: Connection, info: RunnerInfo): Promise<void>
  /** Notes that the runner is ready. Returns false for a connection that speaks for the runner no more. */
  setSeen(connection: Connection): Promise<boolean>
  setGone(connection: Connection): Promise<void>
  /** Returns runners that may take a sandbox, locked until the transaction ends, so that no room is given twice. */
  lockCandidates(tx: Queryable, filter: CandidateFilter): Promise<PlacementCandidate[]>
}

export function createRunnerStore({ db }: Pick<Database, 'db'>): RunnerStore {
  return {
    async ensure(runner) {
      const [row] = await db
        .insert(runners)
        .values(runner)
        .onConflictDoUpdate({
          target: runners.name,
          targetWhere: isNull(runners.removedAt),
          set: { tokenHash: runner.tokenHash, region: runner.region, updatedAt: sql`now()` },
        })
        .returning({ id: runners.id })
      if (row === undefined) throw new Error('an upsert returned no row')
      return row.id
    },
    async findByToken(tokenHash) {
      const columns = { id: runners.id, name: runners.name }
      const mine = and(eq(runners.tokenHash, tokenHash), isNull(runners.removedAt))
      const [row] = await db.select(columns).from(runners).where(mine)
      return row
    },
    async claim({ runnerId, connectionId, at }) {
      const rows = await db
        .update(runners)
        .set({ connectionId, lastSeenAt: null, heardAt: at })
        .where(isKnown(runnerId))
        .returning({ id: runners.id })
      return rows.length > 0
    },
    setHeard: (connection) => write(db, connection, { heardAt: connection.at }),
    async setInfo(connection, info) {
      const { version, driver, runtime, limitations, snapshots, cpu } = info
      const size = { cpu, memoryGib: info.memoryGiB, diskGib: info.diskGiB }
      await db
        .update(runners)
        .set({
          version,
          driver,
          runtime,
          limitations,
          snapshots,
          abilities: info.abilities ?? null,
          ...size,
          lastSeenAt: connection.at,
          heardAt: connection.at,
          updatedAt: connection.at,
        })
        .where(spokenForBy(connection))
    },
    setSeen: (connection) => write(db, connection, { lastSeenAt: connection.at, heardAt: connection.at }),
    async setGone(connection) {
      await db.update(runners).set({ connectionId: null, lastSeenAt: null }).where(spokenForBy(connection))
    },
    lockCandidates,
  }
}

/**
 * Throws if another connection speaks for the runner, or none may. In a transaction with a locked row it also says that no later
 * connection has led to a change of that row yet, since a connection takes the runner over before anything else.
 */
export async function checkSpeaks(db: Queryable, connection: Omit<Connection, 'at'>): Promise<undefined> {
  const rows = await db.select({ one: sql`1` }).from(runners).where(spokenForBy(connection))
  if (rows.length === 0) throw new Error('another connection speaks for this runner, or none may')
}

async function write(
  db: Queryable,
  connection: Connection,
  columns: Partial<Pick<RunnerRow, 'heardAt' | 'lastSeenAt'>>,
): Promise<boolean> {
  const rows = await db.update(runners).set(columns).where(spokenForBy(connection)).returning({ id: runners.id })
  return rows.length > 0
}

function spokenForBy({ runnerId, connectionId }: Omit<Connection, 'at'>): SQL | undefined {
  return and(eq(runners.id, runnerId), eq(runners.connectionId, connectionId))
}

function takesNew(wanted: 'small' | 'medium' | 'large'): SQL | undefined {
  const open = and(eq(runners.unschedulable, false), eq(runners.draining, false))
  return and(open, or(isNull(runners.class), eq(runners.class, wanted)))
}

async function lockCandidates(tx: Queryable, filter: CandidateFilter): Promise<PlacementCandidate[]> {
  return await tx
    .select({
      id: runners.id,
      cpu: sql<number>`coalesce(${runners.cpu}, 0)`,
      memoryGib: sql<number>`coalesce(${runners.memoryGib}, 0)`,
      diskGib: sql<number>`coalesce(${runners.diskGib}, 0)`,
      capacity: runners.capacity,
    })
    .from(runners)
    .where(
      and(
        gt(runners.lastSeenAt, filter.seenAfter),
        isNull(runners.removedAt),
        filter.region === undefined ? undefined : eq(runners.region, filter.region),
        filter.class === undefined ? undefined : takesNew(filter.class),
        filter.id === undefined ? undefined : eq(runners.id, filter.id),
      ),
    )
    .orderBy(runners.id)
    .for('no key update')
    .prepare('lock_runners')
    .execute()
}
