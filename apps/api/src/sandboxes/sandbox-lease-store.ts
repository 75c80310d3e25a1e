import type { SQL } from 'drizzle-orm'
import { and, eq, inArray, isNull, lt, lte, ne, not, notInArray, or, sql } from 'drizzle-orm'
import type { Database } from '../database/database.ts'
import { inMs } from '../reconciliation/row-leases.ts'
import { forgetLeft, mayBeLeft } from './runner-loss/former-placements.ts'
import { heldBy } from './sandbox-change-store.ts'
import type { SandboxRow } from './sandbox-table.ts'
import { sandboxes } from './sandbox-table.ts'

/** The two kinds of steps: copies of files may take long and must not keep quick steps waiting. */
export type LeasedWork = 'steps' | 'transfers'

export interface LeaseRequest {
  owner: string
  /** Leases only rows of these runners, and rows without a runner that are to be deleted, which takes no runner. */
  runnerIds: readonly string[]
  /** `transfers`: rows whose files go to or come from the object store; `steps`: all others. */
  work: LeasedWork
  limit: number
  leaseMs: number
}

/**
 * The SQL of reconciliation. Leases run on the database's clock, which all replicas share. No method throws when the lease
 * is no longer the owner's: it writes nothing and returns false or undefined.
 */
export interface SandboxLeaseStore {
  /** Leases rows whose state is not the desired one, whose next attempt is due and that no other replica holds. */
  lease(request: LeaseRequest): Promise<SandboxRow[]>
  /** Reads the row as it is now. */
  reload(id: string, owner: string): Promise<SandboxRow | undefined>
  /** Stores the token's hash before the start that hands the token out. Returns false if no start is wanted any more. */
  setToolboxToken(id: string, owner: string, tokenHash: string): Promise<boolean>
  /** Notes how many attempts failed since the last one with progress, sets when the next is due, gives the lease back. */
  postpone(id: string, owner: string, retry: { attempts: number; delayMs: number }): Promise<void>
  /** Extends the leases of rows being worked on. */
  renew(owner: string, ids: readonly string[], leaseMs: number): Promise<void>
  /** Gives a lease back. */
  release(id: string, owner: string): Promise<void>
  /**
   * Returns whether the row's runner may have files of the sandbox from before they went elsewhere. No other replica changes
   * that while the row is leased.
   */
  mayBeLeft(row: SandboxRow): Promise<boolean>
  /** Notes that those files are gone. */
  forgetLeft(row: SandboxRow): Promise<void>
}

export function createSandboxLeaseStore({ db }: Pick<Database, 'db'>): SandboxLeaseStore {
  return {
    lease: (request) => lease({ db }, request),
    async reload(id, owner) {
      const reading = db.select().from(sandboxes).where(held(id, owner))
      const [row] = await reading.prepare('read_leased').execute()
      return row
    },
    async setToolboxToken(id, owner, tokenHash) {
      const rows = await db
        .update(sandboxes)
        .set({ toolboxTokenHash: tokenHash })
        .where(and(held(id, owner), eq(sandboxes.desiredState, 'started')))
        .returning({ id: sandboxes.id })
        .prepare('set_toolbox_token')
        .execute()
      return rows.length > 0
    },
    async postpone(id, owner, { attempts, delayMs }) {
      const columns = { attempts, nextAttemptAt: inMs(delayMs) }
      await db
        .update(sandboxes)
        .set({ ...columns, ...noLease })
        .where(held(id, owner))
    },
    async renew(owner, ids, leaseMs) {
      if (ids.length === 0) return
      await db
        .update(sandboxes)
        .set({ leaseExpiresAt: inMs(leaseMs) })
        .where(and(inArray(sandboxes.id, [...ids]), heldBy(owner)))
    },
    async release(id, owner) {
      await db.update(sandboxes).set(noLease).where(held(id, owner))
    },
    mayBeLeft: async ({ id, runnerId }) => runnerId !== null && (await mayBeLeft(db, id, runnerId)),
    async forgetLeft({ id, runnerId }) {
      if (runnerId !== null) await forgetLeft(db, id, runnerId)
    },
  }
}

const noLease = { leaseOwner: null, leaseExpiresAt: null }

function held(id: string, owner: string): SQL | undefined {
  return and(eq(sandboxes.id, id), heldBy(owner))
}

/** The states without a step: given up, or waiting for a snapshot. */
const STEPLESS = ['error', 'build_failed', 'pending_build', 'building_snapshot', 'pulling_snapshot'] as const

const isTransfer = sql`((${sandboxes.state} = 'stopped' and ${sandboxes.desiredState} = 'archived')
  or (${sandboxes.state} = 'archived' and ${sandboxes.desiredState} = 'started'))`

async function lease({ db }: Pick<Database, 'db'>, request: LeaseRequest): Promise<SandboxRow[]> {
  const due = db
    .select({ id: sandboxes.id })
    .from(sandboxes)
    .where(
      and(
        ne(sandboxes.state, sandboxes.desiredState),
        eq(sandboxes.lost, false),
        or(notInArray(sandboxes.state, [...STEPLESS]), eq(sandboxes.desiredState, 'destroyed')),
        or(
          inArray(sandboxes.runnerId, [...request.runnerIds]),
          and(isNull(sandboxes.runnerId), eq(sandboxes.desiredState, 'destroyed')),
        ),
        request.work === 'transfers' ? isTransfer : not(isTransfer),
        or(isNull(sandboxes.leaseExpiresAt), lt(sandboxes.leaseExpiresAt, sql`now()`)),
        or(isNull(sandboxes.nextAttemptAt), lte(sandboxes.nextAttemptAt, sql`now()`)),
      ),
    )
    .orderBy(sandboxes.changedAt)
    .limit(request.limit)
    .for('update', { skipLocked: true })
  return await db
    .update(sandboxes)
    .set({ leaseOwner: request.owner, leaseExpiresAt: inMs(request.leaseMs) })
    // An array is evaluated once; under IN the planner may run the subquery again and lock more than its limit.
    .where(sql`${sandboxes.id} = any(array(${due}))`)
    .returning()
    .prepare('lease_sandboxes')
    .execute()
}
