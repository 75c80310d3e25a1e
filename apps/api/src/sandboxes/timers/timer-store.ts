import type { SQL } from 'drizzle-orm'
import { and, asc, gt, isNotNull, isNull, lte, ne, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../../database/database.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { dueAfter, sandboxes, sinceEpoch } from '../sandbox-table.ts'

/** The timers that may be due for a sandbox. */
export const timers = ['autoDestroy', 'autoDelete', 'autoStop', 'autoArchive'] as const
export type Timer = (typeof timers)[number]

/** The SQL of timers; each query uses an index of its own. */
export interface TimerStore {
  /** Returns the ids of the sandboxes that `timer` is due for at `now`, longest due first. */
  due(timer: Timer, now: Date, limit: number): Promise<string[]>
  /** Returns when a timer is due next after `now`, in milliseconds since the epoch; undefined if none will be. */
  next(now: Date): Promise<number | undefined>
}

const { state, desiredState, lost } = sandboxes

/** The conditions of the indexes in `sandbox-table.ts`, word for word. */
const running = sql`${state} = 'started' and ${desiredState} = 'started' and not ${lost}
  and ${sandboxes.autoStopMinutes} > 0`
const stopped = sql`${state} = 'stopped' and ${desiredState} = 'stopped' and not ${lost}`
const still = sql`${state} = ${desiredState} and ${state} in ('stopped', 'archived')
  and ${sandboxes.autoDeleteMinutes} >= 0`

/** While a snapshot is made of a sandbox, only the end of its time to live is due. */
const isLeftAlone = isNull(sandboxes.snapshottingId)

const dueTimes: Record<Timer, { at: SQL; among: SQL | undefined }> = {
  autoDestroy: {
    at: sql`${sandboxes.autoDestroyAt}`,
    among: and(isNotNull(sandboxes.autoDestroyAt), ne(desiredState, sql`'destroyed'`)),
  },
  autoDelete: { at: dueAfter(sandboxes.stoppedAt, sandboxes.autoDeleteMinutes), among: and(still, isLeftAlone) },
  autoStop: { at: dueAfter(sandboxes.lastActivityAt, sandboxes.autoStopMinutes), among: and(running, isLeftAlone) },
  autoArchive: { at: dueAfter(sandboxes.stoppedAt, sandboxes.autoArchiveMinutes), among: and(stopped, isLeftAlone) },
}

export function createTimerStore({ db }: Pick<Database, 'db'>): TimerStore {
  return {
    async due(timer, now, limit) {
      const rows = await dueQuery(db, timer, { now, limit })
      return rows.map((row) => row.id)
    },
    async next(now) {
      const rows = await Promise.all(timers.map((timer) => nextQuery(db, timer, now)))
      const times = rows.flat().map(({ at }) => Math.ceil(at))
      return times.length === 0 ? undefined : Math.min(...times)
    },
  }
}

/** The query behind `due`. */
export function dueQuery(db: Queryable, timer: Timer, { now, limit }: { now: Date; limit: number }) {
  const { at, among } = dueTimes[timer]
  const time = sql`${now.toISOString()}::timestamptz`
  const { nextAttemptAt } = sandboxes
  // A sandbox that could not be archived has a pause.
  const mayBeTried = timer === 'autoArchive' ? or(isNull(nextAttemptAt), lte(nextAttemptAt, time)) : undefined
  return db
    .select({ id: sandboxes.id })
    .from(sandboxes)
    .where(and(among, lte(at, timer === 'autoDestroy' ? time : sinceEpoch(time)), mayBeTried))
    .orderBy(asc(at))
    .limit(limit)
}

/** The query behind `next`, for one timer: the first entry of the index after now. */
export function nextQuery(db: Queryable, timer: Timer, now: Date) {
  const { at, among } = dueTimes[timer]
  const time = sql`${now.toISOString()}::timestamptz`
  return db
    .select({ at: sql<number>`(extract(epoch from ${at}) * 1000)::float8` })
    .from(sandboxes)
    .where(and(among, gt(at, timer === 'autoDestroy' ? time : sinceEpoch(time))))
    .orderBy(asc(at))
    .limit(1)
}

const MINUTE_MS = 60_000

/** Returns whether `timer` is due for a row at `now` (milliseconds since the epoch), by the conditions of the queries. */
export function isDue(row: SandboxRow, timer: Timer, now: number): boolean {
  const after = (since: Date | null, minutes: number) => since !== null && since.getTime() + minutes * MINUTE_MS <= now
  const settled = row.state === row.desiredState && row.snapshottingId === null
  switch (timer) {
    case 'autoDestroy':
      return row.desiredState !== 'destroyed' && row.autoDestroyAt !== null && row.autoDestroyAt.getTime() <= now
    case 'autoDelete':
      return (
        settled &&
        (row.state === 'stopped' || row.state === 'archived') &&
        row.autoDeleteMinutes >= 0 &&
        after(row.stoppedAt, row.autoDeleteMinutes)
      )
    case 'autoStop':
      return (
        settled &&
        row.state === 'started' &&
        !row.lost &&
        row.autoStopMinutes > 0 &&
        after(row.lastActivityAt, row.autoStopMinutes)
      )
    case 'autoArchive':
      return (
        settled &&
        row.state === 'stopped' &&
        !row.lost &&
        after(row.stoppedAt, row.autoArchiveMinutes) &&
        (row.nextAttemptAt?.getTime() ?? now) <= now
      )
  }
}
