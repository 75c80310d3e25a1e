import type { SandboxEvent, SandboxLifecycle, Transition } from '@atoll/protocol'
import { sandboxSteps, shownState, transition } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, gt, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { SandboxChanges } from './sandbox-changes.ts'
import { SANDBOX_CHANNEL } from './sandbox-changes.ts'
import type { NewSandboxRow, SandboxRow } from './sandbox-table.ts'
import { sandboxEvents, sandboxes } from './sandbox-table.ts'

/** Who causes a change. */
export type Actor = { kind: 'user'; id: string } | { kind: 'reconciler' } | { kind: 'runner' }

/** One event for one sandbox, and the conditions under which it may have it. */
export interface ChangeRequest {
  id: string
  event: SandboxEvent
  actor: Actor
  /** Why, for the event row; with `failed` it becomes the sandbox's error reason. */
  reason?: string
  /** Only if it belongs to this organization. */
  organizationId?: string
  /** Only while this replica holds the row's lease. */
  leaseOwner?: string
  /** Only if it is on this runner. */
  runnerId?: string
  /** Runs before the change is written, in its transaction and with the row locked; a throw undoes everything. */
  before?: (tx: Queryable, row: SandboxRow) => Promise<void>
}

/** The row after the event, and what the event did. */
export interface ChangeResult {
  row: SandboxRow
  outcome: Transition
}

export interface SandboxStoreOptions {
  database: Database
  changes: SandboxChanges
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The two ways in which a sandbox's state is written; both write the event row in the same transaction (R8). */
export interface SandboxChangeStore {
  /** Writes a new row in the caller's transaction. The caller emits the change once that is through. */
  insert(tx: Queryable, values: NewSandboxRow, actor: Actor): Promise<SandboxRow>
  /** Applies one event by the state table. Undefined when there is no such row under the request's conditions. */
  change(request: ChangeRequest): Promise<ChangeResult | undefined>
}

export function createSandboxChangeStore({ database, changes, now }: SandboxStoreOptions): SandboxChangeStore {
  return {
    async insert(tx, values, actor) {
      const [row] = await tx.insert(sandboxes).values(values).returning()
      if (row === undefined) throw new Error('an insert returned no row')
      const toState = shownState(row)
      await tx.insert(sandboxEvents).values({
        ...commonOf(row, actor),
        event: 'create',
        toState,
        durationMs: 0,
        at: row.changedAt,
      })
      await notify(tx, changes.payload(row))
      return row
    },

    async change(request) {
      const result = await database.transaction(async (tx) => {
        const [row] = await tx.select().from(sandboxes).where(conditions(request)).for('update')
        if (row === undefined) return undefined
        const outcome = transition({ ...row, changedAt: row.changedAt.getTime() }, request.event, now())
        if (outcome.kind !== 'changed') return { row, outcome }
        await request.before?.(tx, row)
        const next = await write(tx, request, outcome)
        await notify(tx, changes.payload(next))
        return { row: next, outcome }
      })
      if (result?.outcome.kind === 'changed') changes.emit(result.row)
      return result
    },
  }
}

function conditions(request: ChangeRequest): SQL | undefined {
  const { id, organizationId, leaseOwner, runnerId } = request
  return and(
    eq(sandboxes.id, id),
    organizationId === undefined ? undefined : eq(sandboxes.organizationId, organizationId),
    runnerId === undefined ? undefined : eq(sandboxes.runnerId, runnerId),
    leaseOwner === undefined ? undefined : heldBy(leaseOwner),
  )
}

/** Rows whose lease `owner` holds and has not let expire (R1). */
export function heldBy(owner: string): SQL | undefined {
  return and(eq(sandboxes.leaseOwner, owner), gt(sandboxes.leaseExpiresAt, sql`now()`))
}

type Changed = Extract<Transition, { kind: 'changed' }>

async function write(tx: Queryable, request: ChangeRequest, change: Changed): Promise<SandboxRow> {
  const at = new Date(change.next.changedAt)
  const [row] = await tx
    .update(sandboxes)
    .set({ ...columnsOf(change.next, request.reason), lastActivityAt: at, updatedAt: at })
    .where(eq(sandboxes.id, request.id))
    .returning()
  if (row === undefined) throw new Error('a locked row is gone')
  await tx.insert(sandboxEvents).values({
    ...commonOf(row, request.actor),
    event: request.event,
    fromState: change.from,
    toState: change.to,
    durationMs: change.durationMs,
    reason: request.reason ?? null,
    at,
  })
  return row
}

function commonOf(row: SandboxRow, actor: Actor) {
  return {
    sandboxId: row.id,
    organizationId: row.organizationId,
    actorKind: actor.kind,
    actorId: actor.kind === 'user' ? actor.id : null,
  }
}

/** What a change of state does to the other columns. */
function columnsOf(next: SandboxLifecycle, reason: string | undefined) {
  const shown = shownState(next)
  return {
    state: next.state,
    desiredState: next.desiredState,
    changedAt: new Date(next.changedAt),
    errorReason: shown === 'error' ? (reason ?? 'unknown') : null,
    attempts: 0,
    nextAttemptAt: null,
    // Where no step is due there is nothing to hold a lease for.
    ...(sandboxSteps[shown] === 'none' ? { leaseOwner: null, leaseExpiresAt: null } : {}),
    // R4: what does not run has no token that could dial home. What is destroyed keeps no secrets either.
    ...(shown === 'stopped' || shown === 'error' || shown === 'destroyed' ? { toolboxTokenHash: null } : {}),
    ...(shown === 'destroyed' ? { env: {} } : {}),
  }
}

async function notify(tx: Queryable, payload: string): Promise<void> {
  await tx.execute(sql`select pg_notify(${SANDBOX_CHANNEL}, ${payload})`)
}
