import type { SQL } from 'drizzle-orm'
import { sql } from 'drizzle-orm'
import type { PgTable } from 'drizzle-orm/pg-core'
import type { Queryable } from '../database/database.ts'

export interface RowLeaseRequest {
  owner: string
  /**
   * The runners that this replica can call. Only their rows are leased, and rows that have no runner yet. With an empty
   * list, rows without a runner are left to other replicas for the time of one lease: all replicas hear of a new row at
   * once, and one that can call no runner would only keep the row from the others.
   */
  runnerIds: readonly string[]
  limit: number
  leaseMs: number
}

/**
 * Leases on the rows of one table, by the database's clock, which all replicas share. Every write here changes nothing,
 * and throws nothing, when the owner no longer holds the lease.
 */
export interface RowLeases {
  /** Leases rows in which a step is due, whose next attempt is due and that no other owner holds; returns their ids. */
  lease(request: RowLeaseRequest): Promise<string[]>
  /** Counts a failed attempt, sets when the next is due and gives the lease back. */
  postpone(id: string, owner: string, delayMs: number): Promise<void>
  /** Extends the leases of rows being worked on. */
  renew(owner: string, ids: readonly string[], leaseMs: number): Promise<void>
  /** Gives a lease back. */
  release(id: string, owner: string): Promise<void>
}

export interface RowLeasesOptions {
  db: Queryable
  /**
   * A table with the columns `id`, `runner_id`, `lease_owner`, `lease_expires_at`, `attempts`, `next_attempt_at` and
   * `changed_at`.
   */
  table: PgTable
  /** The condition that a step is due in a row. */
  due: SQL
}

/** The condition that `owner` holds a row's lease and has not let it expire. */
export function leaseHeldBy(owner: string): SQL {
  return sql`lease_owner = ${owner} and lease_expires_at > now()`
}

export function createRowLeases({ db, table, due }: RowLeasesOptions): RowLeases {
  return {
    async lease({ owner, runnerIds, limit, leaseMs }) {
      const ofNone = runnerIds.length > 0 ? sql`true` : sql`changed_at < ${inMs(-leaseMs)}`
      // An array is evaluated once; under IN the planner may run the subquery again and lock more than its limit.
      const rows = await db.execute<{ id: string }>(sql`
        update ${table} set lease_owner = ${owner}, lease_expires_at = ${inMs(leaseMs)}
        where id = any(array(
          select id from ${table}
          where ${due} and ((runner_id is null and ${ofNone}) or runner_id in ${[...runnerIds, null]})
            and (lease_expires_at is null or lease_expires_at < now())
            and (next_attempt_at is null or next_attempt_at <= now())
          order by changed_at limit ${limit} for update skip locked))
        returning id`)
      return rows.map(({ id }) => id)
    },
    async postpone(id, owner, delayMs) {
      await db.execute(sql`
        update ${table} set attempts = attempts + 1, next_attempt_at = ${inMs(delayMs)},
          lease_owner = null, lease_expires_at = null
        where id = ${id} and ${leaseHeldBy(owner)}`)
    },
    async renew(owner, ids, leaseMs) {
      if (ids.length === 0) return
      await db.execute(sql`
        update ${table} set lease_expires_at = ${inMs(leaseMs)} where id in ${[...ids]} and ${leaseHeldBy(owner)}`)
    },
    async release(id, owner) {
      await db.execute(sql`
        update ${table} set lease_owner = null, lease_expires_at = null where id = ${id} and ${leaseHeldBy(owner)}`)
    },
  }
}

/** A time from now, by the database's clock, which all replicas share. */
export function inMs(milliseconds: number): SQL {
  return sql`now() + ${milliseconds} * interval '1 millisecond'`
}
