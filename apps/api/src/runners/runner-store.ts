import type { RunnerInfo } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, gt, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { PlacementCandidate } from './placement.ts'
import { runners } from './runner-table.ts'

export interface CandidateFilter {
  /** Only runners heard of after this. */
  seenAfter: Date
  /** Only runners of this region that have this snapshot. */
  region?: string
  snapshot?: string
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
  /** Takes the runner over for a new connection, not yet seen as ready. */
  claim(connection: Connection): Promise<void>
  /** What the runner said of itself; from now on it is a candidate. */
  setInfo(connection: Connection, info: RunnerInfo): Promise<void>
  setSeen(connection: Connection): Promise<void>
  setGone(connection: Connection): Promise<void>
  /** Runners that may take a sandbox, locked until the transaction ends so that capacity is counted once. */
  lockCandidates(tx: Queryable, filter: CandidateFilter): Promise<PlacementCandidate[]>
  regions(): Promise<string[]>
  /** Whether any runner has ever offered this snapshot. */
  hasSnapshot(snapshot: string): Promise<boolean>
}

export function createRunnerStore({ db }: Pick<Database, 'db'>): RunnerStore {
  return {
    async ensure(runner) {
      const [row] = await db
        .insert(runners)
        .values(runner)
        .onConflictDoUpdate({
          target: runners.name,
          set: { tokenHash: runner.tokenHash, region: runner.region, updatedAt: sql`now()` },
        })
        .returning({ id: runners.id })
      if (row === undefined) throw new Error('an upsert returned no row')
      return row.id
    },
    async findByToken(tokenHash) {
      const columns = { id: runners.id, name: runners.name }
      const [row] = await db.select(columns).from(runners).where(eq(runners.tokenHash, tokenHash))
      return row
    },
    async claim({ runnerId, connectionId }) {
      await db.update(runners).set({ connectionId, lastSeenAt: null }).where(eq(runners.id, runnerId))
    },
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
          ...size,
          lastSeenAt: connection.at,
          updatedAt: connection.at,
        })
        .where(spokenForBy(connection))
    },
    async setSeen(connection) {
      await db.update(runners).set({ lastSeenAt: connection.at }).where(spokenForBy(connection))
    },
    async setGone(connection) {
      await db.update(runners).set({ connectionId: null, lastSeenAt: null }).where(spokenForBy(connection))
    },
    lockCandidates,
    async regions() {
      const rows = await db.selectDistinct({ region: runners.region }).from(runners)
      return rows.map((row) => row.region).sort()
    },
    async hasSnapshot(snapshot) {
      const offered = sql`${snapshot} = any(${runners.snapshots})`
      const rows = await db.select({ id: runners.id }).from(runners).where(offered).limit(1)
      return rows.length > 0
    },
  }
}

function spokenForBy({ runnerId, connectionId }: Connection): SQL | undefined {
  return and(eq(runners.id, runnerId), eq(runners.connectionId, connectionId))
}

async function lockCandidates(tx: Queryable, filter: CandidateFilter): Promise<PlacementCandidate[]> {
  return await tx
    .select({
      id: runners.id,
      cpu: sql<number>`coalesce(${runners.cpu}, 0)`,
      memoryGib: sql<number>`coalesce(${runners.memoryGib}, 0)`,
      diskGib: sql<number>`coalesce(${runners.diskGib}, 0)`,
    })
    .from(runners)
    .where(
      and(
        gt(runners.lastSeenAt, filter.seenAfter),
        filter.region === undefined ? undefined : eq(runners.region, filter.region),
        filter.snapshot === undefined ? undefined : sql`${filter.snapshot} = any(${runners.snapshots})`,
        filter.id === undefined ? undefined : eq(runners.id, filter.id),
      ),
    )
    .orderBy(runners.id)
    .for('no key update')
}
