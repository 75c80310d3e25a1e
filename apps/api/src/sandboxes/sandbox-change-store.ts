import type { SandboxEvent, Transition } from '@atoll/protocol'
import { sandboxCommands, shownState, transition } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, gt, ne, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import type { Actor } from '../reconciliation/state-events.ts'
import { eventValues } from '../reconciliation/state-events.ts'
import { letGoOfBackups } from './backups/discard-backups.ts'
import { noteMove } from './runner-loss/former-placements.ts'
import type { SandboxChanges } from './sandbox-changes.ts'
import { SANDBOX_CHANNEL } from './sandbox-changes.ts'
import { columnsAfter } from './sandbox-columns.ts'
import type { NewSandboxRow, SandboxRow } from './sandbox-table.ts'
import { sandboxEvents, sandboxes } from './sandbox-table.ts'

/** One event for one sandbox, and the conditions under which it may have it. */
export interface ChangeRequest {
  id: string
  /** Undefined from a function: nothing after all. */
  event: SandboxEvent | ((row: SandboxRow) => SandboxEvent | undefined)
  actor: Actor
  /** Why, for the event row; with `failed` it becomes the sandbox's error reason. */
  reason?: string
  /** Only if it belongs to this organization. */
  organizationId?: string
  /** Only while this replica holds the row's lease. */
  leaseOwner?: string
  /** Only if it is on this runner. */
  runnerId?: string
  /**
   * Runs before the change is written, in its transaction and with the row locked; a throw undoes everything. What it
   * answers is written with the change.
   */
  before?: (tx: Queryable, row: SandboxRow) => Promise<SandboxColumns | undefined>
}

/** Columns that belong to a command: where to start it, what to make of it. */
export type SandboxColumns = Partial<
  Pick<
    SandboxRow,
    | ('runnerId' | 'resizeCpu' | 'resizeMemoryGib' | 'resizeDiskGib')
    | ('networkBlockAll' | 'networkAllowList' | 'stopForced')
  >
>

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

/**
 * The two ways in which a sandbox's state is written; both write the event row in the same transaction (R8). And the one
 * other change that every replica must hear of.
 */
export interface SandboxChangeStore {
  /**
   * Writes a new row in the caller's transaction; undefined when the organization has something of that name. The
   * caller emits the change once the transaction is through.
   */
  insert(tx: Queryable, values: NewSandboxRow, actor: Actor): Promise<SandboxRow | undefined>
  /** Applies one event by the state table. Undefined when there is no such row under the request's conditions. */
  change(request: ChangeRequest): Promise<ChangeResult | undefined>
  /** Gives it a new signing key, which it answers; undefined when there is none or it is destroyed. */
  rotateSigningKey(id: string, organizationId: string): Promise<string | undefined>
}

/** The index `sandboxes_name_unique`. */
const SAME_NAME = {
  target: [sandboxes.organizationId, sandboxes.name],
  where: sql`${sandboxes.state} <> 'destroyed'`,
}

export function createSandboxChangeStore({ database, changes, now }: SandboxStoreOptions): SandboxChangeStore {
  return {
    async insert(tx, values, actor) {
      const [row] = await tx.insert(sandboxes).values(values).onConflictDoNothing(SAME_NAME).returning()
      if (row === undefined) return undefined
      const event = row.forkedFromId === null ? 'create' : 'fork'
      const created = eventValues({ actor, event, to: shownState(row), at: row.changedAt })
      await tx.insert(sandboxEvents).values({ ...idsOf(row), ...created })
      await tx.execute(notifyOf(changes.payload(row)))
      return row
    },

    async change(request) {
      const result = await database.transaction(async (tx) => {
        const [row] = await tx.select().from(sandboxes).where(conditions(request)).for('update')
        if (row === undefined) return undefined
        const event = typeof request.event === 'function' ? request.event(row) : request.event
        if (event === undefined) return { row, outcome: { kind: 'same' as const } }
        const outcome = outcomeOf(row, event, now())
        if (outcome.kind !== 'changed') return { row, outcome }
        const columns = await request.before?.(tx, row)
        const next = await write(tx, { ...request, event, row, columns }, outcome)
        await tx.execute(notifyOf(changes.payload(next)))
        return { row: next, outcome }
      })
      if (result?.outcome.kind === 'changed') changes.emit(result.row)
      return result
    },

    async rotateSigningKey(id, organizationId) {
      const mine = and(eq(sandboxes.id, id), eq(sandboxes.organizationId, organizationId))
      const row = await database.transaction(async (tx) => {
        const [updated] = await tx
          .update(sandboxes)
          .set({ signingKey: sql`default`, updatedAt: new Date(now()) })
          .where(and(mine, ne(sandboxes.state, 'destroyed')))
          .returning()
        if (updated !== undefined) await tx.execute(notifyOf(changes.payload(updated)))
        return updated
      })
      if (row === undefined) return undefined
      changes.emit(row)
      return row.signingKey ?? undefined
    },
  }
}

/** By the state table; what a snapshot is being made of keeps still meanwhile, unless it is to go, or lost. */
function outcomeOf(row: SandboxRow, event: SandboxEvent, at: number): Transition {
  const outcome = transition({ ...row, changedAt: row.changedAt.getTime() }, event, at)
  const isCommand = event !== 'delete' && sandboxCommands.some((command) => command === event)
  if (outcome.kind !== 'changed' || row.snapshottingId === null || row.lost || !isCommand) return outcome
  const refusal = { code: 'SANDBOX_STATE_CONFLICT', message: 'Sandbox state change in progress' } as const
  return { kind: 'refused', refusal }
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

interface Write extends ChangeRequest {
  event: SandboxEvent
  /** As it was. */
  row: SandboxRow
  columns: SandboxColumns | undefined
}

async function write(tx: Queryable, request: Write, change: Changed): Promise<SandboxRow> {
  const { event } = request
  const at = new Date(change.next.changedAt)
  await letGoOfBackups(tx, request.row, change.next)
  const [row] = await tx
    .update(sandboxes)
    .set({
      ...columnsAfter(request.row, { event, next: change.next, reason: request.reason }),
      ...request.columns,
      // Whoever was shown the token of an earlier start is shut out.
      ...(event === 'start' || event === 'recover' ? { authToken: sql`default` } : {}),
      ...{ lastActivityAt: at, updatedAt: at },
    })
    .where(eq(sandboxes.id, request.id))
    .returning()
  if (row === undefined) throw new Error('a locked row is gone')
  const { actor, reason } = request
  const from = { state: change.from, since: request.row.changedAt }
  // Whoever reports from a step has seen to it that nothing is left on the runner.
  const isCleared = event === 'saved' && request.leaseOwner !== undefined
  await noteMove(tx, { from: request.row, to: row }, { at, isCleared })
  await tx.insert(sandboxEvents).values({
    ...idsOf(row),
    ...eventValues({ actor, event, from, to: change.to, reason, at }),
    durationMs: change.durationMs,
  })
  return row
}

function idsOf(row: SandboxRow) {
  return { sandboxId: row.id, organizationId: row.organizationId }
}

/** Tells the other replicas of a change. */
export function notifyOf(payload: string): SQL {
  return sql`select pg_notify(${SANDBOX_CHANNEL}, ${payload})`
}
