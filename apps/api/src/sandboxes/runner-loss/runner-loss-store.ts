import type { SQL } from 'drizzle-orm'
import { and, asc, eq, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../../database/database.ts'
import type { Silence } from '../../runners/runner-silence.ts'
import { isLostSince, lockLost } from '../../runners/runner-silence.ts'
import { runners } from '../../runners/runner-table.ts'
import { notifyOf } from '../sandbox-change-store.ts'
import type { SandboxChanges } from '../sandbox-changes.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxes } from '../sandbox-table.ts'
import { noteMove } from './former-placements.ts'

/** A runner that is lost, with sandboxes that are not destroyed. */
export interface LostRunner {
  id: string
  name: string
  /** Whether an administrator removed it: then it will not return. */
  isGone: boolean
  /** The time since which nothing was heard of it. */
  silentSince: Date
}

/** `toSettle`: rows that the loss changes at once. `toMove`: rows without files there yet, which can be made elsewhere. */
export type LossWork = 'toSettle' | 'toMove'

export interface Move {
  /** A row of the lost runner. */
  row: SandboxRow
  silence: Silence
  at: Date
  /** Picks another runner; throws if there is none. */
  place: (tx: Queryable, row: SandboxRow) => Promise<string>
}

/** The SQL of lost runners and the sandboxes on them. */
export interface RunnerLossStore {
  lost(silence: Silence): Promise<LostRunner[]>
  /** Returns rows of a lost runner to work on, the longest waiting first. */
  due(runner: LostRunner, work: LossWork, limit: number): Promise<SandboxRow[]>
  /** Moves a sandbox that is being made or restored. Returns false if its row has changed, or its runner has returned. */
  move(move: Move): Promise<boolean>
}

export function createRunnerLossStore(database: Database, changes: SandboxChanges): RunnerLossStore {
  const { db } = database
  return {
    async lost(silence) {
      const isLivedOn = sql`exists (select 1 from sandboxes
        where sandboxes.runner_id = ${runners.id} and sandboxes.state <> 'destroyed')`
      const rows = await db
        .select()
        .from(runners)
        .where(and(isLostSince(silence), isLivedOn))
      return rows.map(({ id, name, removedAt, heardAt, updatedAt }) => {
        return { id, name, isGone: removedAt !== null, silentSince: heardAt ?? updatedAt }
      })
    },
    async due(runner, work, limit) {
      const wanted = work === 'toMove' ? isUnderWay : runner.isGone ? sql`(${isUnsettled} or ${isLost})` : isUnsettled
      return await db
        .select()
        .from(sandboxes)
        .where(and(eq(sandboxes.runnerId, runner.id), sql`${sandboxes.state} <> 'destroyed'`, wanted))
        .orderBy(asc(sandboxes.changedAt))
        .limit(limit)
    },
    async move(move) {
      const moved = await database.transaction((tx) => moveIn(tx, move, changes))
      if (moved !== undefined) changes.emit(moved)
      return moved !== undefined
    },
  }
}

const { state, desiredState, lost } = sandboxes

/** The phases that `lost` changes (L2), and destroying. */
const isUnsettled = sql`(${desiredState} = 'destroyed' or (not ${lost}
  and (${state} in ('stopped', 'started') or (${state} = 'error' and ${sandboxes.recoverableTo} = 'stopped'))))`

const isLost = sql`(${lost} and ${desiredState} <> 'destroyed')`

const isUnderWay = sql`(${desiredState} = 'started'
  and ${state} in ('pending_build', 'building_snapshot', 'pulling_snapshot', 'creating', 'archived'))`

async function moveIn(
  tx: Queryable,
  { row, silence, at, place }: Move,
  changes: SandboxChanges,
): Promise<SandboxRow | undefined> {
  const [current] = await tx.select().from(sandboxes).where(stillAsIn(row)).for('update')
  if (current === undefined || row.runnerId === null || !(await lockLost(tx, row.runnerId, silence))) return undefined
  const runnerId = await place(tx, current)
  // L6: without its token a sandbox that may have begun to run there is shut out.
  const afresh = { attempts: 0, nextAttemptAt: null, leaseOwner: null, leaseExpiresAt: null, toolboxTokenHash: null }
  const [moved] = await tx
    .update(sandboxes)
    .set({ runnerId, ...afresh, updatedAt: at })
    .where(eq(sandboxes.id, row.id))
    .returning()
  if (moved === undefined) throw new Error('a locked row is gone')
  await noteMove(tx, { from: current, to: moved }, { at, isCleared: false })
  await tx.execute(notifyOf(changes.payload(moved)))
  return moved
}

function stillAsIn({ id, changedAt, runnerId }: SandboxRow): SQL | undefined {
  return and(eq(sandboxes.id, id), eq(sandboxes.changedAt, changedAt), sql`${sandboxes.runnerId} = ${runnerId}`)
}
