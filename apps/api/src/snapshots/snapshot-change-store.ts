import type { SnapshotEvent, SnapshotTransition } from '@atoll/protocol'
import { snapshotSteps, snapshotTransition } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { leaseHeldBy } from '../reconciliation/row-leases.ts'
import type { Actor, StateEvent } from '../reconciliation/state-events.ts'
import { eventValues, RECONCILER } from '../reconciliation/state-events.ts'
import type { SnapshotChanges } from './snapshot-changes.ts'
import type { NewSnapshotRow, SnapshotRow } from './snapshot-table.ts'
import { snapshotEvents, snapshotRunners, snapshots } from './snapshot-table.ts'

/** One event for one snapshot, and the conditions under which it is applied. */
export interface SnapshotChangeRequest {
  id: string
  event: SnapshotEvent
  /** The cause of the event; the reconciler unless given. */
  actor?: Actor
  /** Why, for the event row; with `failed` it becomes the error reason. */
  reason?: string
  /** Applies the event only if the snapshot belongs to this organization. */
  organizationId?: string
  /** Applies the event only while this owner holds the row's lease. */
  leaseOwner?: string
  /** Applies the event only while the state stands that stood since then. */
  changedAt?: Date
  /** The runner's facts about the finished snapshot. */
  made?: { sizeGib: number; digest: string | null }
}

/** The row after the event, and what the event did. */
export interface SnapshotChangeResult {
  row: SnapshotRow
  outcome: SnapshotTransition
}

export interface SnapshotStoreOptions {
  database: Pick<Database, 'db' | 'transaction'>
  changes: SnapshotChanges
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The two ways in which a snapshot's state is written; both write the event row in the same transaction. */
export interface SnapshotChangeStore {
  transaction: Database['transaction']
  /**
   * Writes a new row in the caller's transaction. Returns undefined when another row has its name or, for a nameless
   * one, its build. The caller emits the change after the transaction has committed.
   */
  insert(tx: Queryable, values: NewSnapshotRow, actor: Actor): Promise<SnapshotRow | undefined>
  /** Applies one event by the state table. Returns undefined when no row meets the request's conditions. */
  change(request: SnapshotChangeRequest): Promise<SnapshotChangeResult | undefined>
  emit(row: SnapshotRow): void
}

export function createSnapshotChangeStore({ database, changes, now }: SnapshotStoreOptions): SnapshotChangeStore {
  return {
    transaction: (work) => database.transaction(work),
    async insert(tx, values, actor) {
      const [row] = await tx.insert(snapshots).values(values).onConflictDoNothing().returning()
      if (row === undefined) return undefined
      await record(tx, row, { actor, event: 'create', to: row.state, at: row.changedAt })
      await changes.notify(tx, row)
      return row
    },
    async change(request) {
      const result = await database.transaction(async (tx) => {
        const [row] = await tx.select().from(snapshots).where(conditions(request)).for('update')
        if (row === undefined) return undefined
        const outcome = snapshotTransition(row.state, request.event)
        if (outcome.kind !== 'changed') return { row, outcome }
        const next = await write(tx, { request, row, state: outcome.to, at: new Date(now()) })
        await changes.notify(tx, next)
        return { row: next, outcome }
      })
      if (result?.outcome.kind === 'changed') changes.emit(result.row)
      return result
    },
    emit: (row) => changes.emit(row),
  }
}

function conditions({ id, organizationId, leaseOwner, changedAt }: SnapshotChangeRequest): SQL | undefined {
  return and(
    eq(snapshots.id, id),
    organizationId === undefined ? undefined : eq(snapshots.organizationId, organizationId),
    leaseOwner === undefined ? undefined : leaseHeldBy(leaseOwner),
    changedAt === undefined ? undefined : eq(snapshots.changedAt, changedAt),
  )
}

interface Write {
  request: SnapshotChangeRequest
  row: SnapshotRow
  state: SnapshotRow['state']
  at: Date
}

async function write(tx: Queryable, { request, row, state, at }: Write): Promise<SnapshotRow> {
  const { made, reason, event } = request
  const failed = state === 'error' || state === 'build_failed'
  const [next] = await tx
    .update(snapshots)
    .set({
      ...{ state, changedAt: at, updatedAt: at, attempts: 0, nextAttemptAt: null },
      errorReason: failed ? (reason ?? 'unknown') : null,
      ...(made === undefined ? {} : made),
      ...(event === 'activate' ? { lastUsedAt: at } : {}),
      // A row without a due step needs no lease.
      ...(snapshotSteps[state] === 'none' ? { leaseOwner: null, leaseExpiresAt: null } : {}),
    })
    .where(eq(snapshots.id, row.id))
    .returning()
  if (next === undefined) throw new Error('a locked row is gone')
  const { actor = RECONCILER } = request
  const from = { state: row.state, since: row.changedAt }
  await record(tx, row, { actor, event, from, to: state, reason, at })
  // A snapshot that was given up half way is on its runner as well, and must be removed there.
  if (row.runnerId !== null && (made !== undefined || state === 'removing')) {
    await hold(tx, { ref: row.ref, runnerId: row.runnerId })
  }
  return next
}

async function record(tx: Queryable, { id, organizationId }: SnapshotRow, event: StateEvent): Promise<void> {
  // The built-in snapshot belongs to no organization and does not change.
  if (organizationId === null) return
  await tx.insert(snapshotEvents).values({ snapshotId: id, organizationId, ...eventValues(event) })
}

async function hold(tx: Queryable, holding: { ref: string; runnerId: string }): Promise<void> {
  await tx
    .insert(snapshotRunners)
    .values({ ...holding, state: 'active' })
    .onConflictDoNothing()
}
