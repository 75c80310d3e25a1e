import { randomUUID } from 'node:crypto'
import type { SandboxEvent, Transition } from '@atoll/protocol'
import { sandboxCommands, shownState, transition } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, gt, ne, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { inMs } from '../reconciliation/row-leases.ts'
import type { Actor } from '../reconciliation/state-events.ts'
import { eventValues } from '../reconciliation/state-events.ts'
import { letGoOfBackups } from './backups/discard-backups.ts'
import { noteMove } from './runner-loss/former-placements.ts'
import type { SandboxChanges } from './sandbox-changes.ts'
import { SANDBOX_CHANNEL } from './sandbox-changes.ts'
import { columnsAfter } from './sandbox-columns.ts'
import type { NewSandboxEventRow, NewSandboxRow, SandboxRow } from './sandbox-table.ts'
import { sandboxEvents, sandboxes } from './sandbox-table.ts'
import { whileSnapshotting } from './shown-state-of.ts'

/** One event for one sandbox, and the conditions under which it may have it. */
export interface ChangeRequest {
  id: string
  /** Several events happened one after the other and are recorded together. A function may return undefined: no event. */
  event: SandboxEvent | readonly SandboxEvent[] | ((row: SandboxRow) => SandboxEvent | undefined)
  actor: Actor
  /** The reason for the event row; with `failed` it becomes the sandbox's error reason. */
  reason?: string
  /** Changes the row only if it belongs to this organization. */
  organizationId?: string
  /** Changes the row only while this owner holds its lease. */
  leaseOwner?: string
  /** Changes the row only if it is on this runner. */
  runnerId?: string
  /**
   * Runs before the change is written, in its transaction and with the row locked; a throw rolls it back. The columns that
   * it returns are written with the change.
   */
  before?: (tx: Queryable, row: SandboxRow) => Promise<SandboxColumns | undefined>
}

/** Columns that a command sets: the runner to start on, the size or the network to resize to, how to stop. */
export type SandboxColumns = Partial<
  Pick<
    SandboxRow,
    | ('runnerId' | 'resizeCpu' | 'resizeMemoryGib' | 'resizeDiskGib')
    | ('networkBlockAll' | 'networkAllowList' | 'stopForced')
  >
>

/** The row after the events, and what the events did. */
export interface ChangeResult {
  row: SandboxRow
  outcome: Transition
}

/** A row to insert. */
export type NewSandbox = NewSandboxRow & {
  /** The lease under which the replica that writes the row begins with it at once. */
  lease?: FirstLease | undefined
}

export interface FirstLease {
  owner: string
  leaseMs: number
  /** SHA-256 of the token of its first start (R4). */
  tokenHash: string
}

export interface SandboxStoreOptions {
  database: Database
  changes: SandboxChanges
  /** Milliseconds since the epoch. */
  now: () => number
}

/**
 * Writes a sandbox's state, in two ways that both write the event row in the same transaction (R8), and its signing key, of
 * whose change every replica must hear.
 */
export interface SandboxChangeStore {
  /**
   * Writes a new row in the caller's transaction. Returns undefined if the organization has a sandbox of that name: then the
   * caller rolls the transaction back. Otherwise the caller emits the change after the commit.
   */
  insert(tx: Queryable, values: NewSandbox, actor: Actor): Promise<SandboxRow | undefined>
  /** Applies the events by the state table. Returns undefined if no row meets the request's conditions. */
  change(request: ChangeRequest): Promise<ChangeResult | undefined>
  /** Gives a sandbox a new signing key and returns it; undefined if there is no such sandbox or it is destroyed. */
  rotateSigningKey(id: string, organizationId: string): Promise<string | undefined>
}

/** The index `sandboxes_name_unique`. */
const SAME_NAME = {
  target: [sandboxes.organizationId, sandboxes.name],
  where: sql`${sandboxes.state} <> 'destroyed'`,
}

export function createSandboxChangeStore({ database, changes, now }: SandboxStoreOptions): SandboxChangeStore {
  return {
    async insert(tx, { lease, ...values }, actor) {
      const { id = randomUUID(), organizationId = null, lost = false } = values
      const born = { ...values, id, lost, recoverableTo: null }
      const writing = tx
        .insert(sandboxes)
        .values({ ...values, id, ...(lease === undefined ? {} : leased(lease)) })
        .onConflictDoNothing(SAME_NAME)
        .returning()
      const event = values.forkedFromId == null ? 'create' : 'fork'
      const created = eventValues({ actor, event, to: shownState(born), at: values.changedAt })
      // Sent together: one round trip to the database.
      const [[row]] = await Promise.all([
        writing.prepare('insert_sandbox').execute(),
        writeEvents(tx, [{ ...created, sandboxId: id, organizationId }], changes.payload(born)),
      ])
      return row
    },

    async change(request) {
      const result = await database.transaction(async (tx) => {
        const locking = tx.select().from(sandboxes).where(conditions(request)).for('update')
        const [row] = await locking.prepare('lock_sandbox').execute()
        if (row === undefined) return undefined
        const at = now()
        const { steps, columns, outcome } = stepsOf(row, request, at)
        if (outcome.kind !== 'changed') return { row, outcome }
        Object.assign(columns, await request.before?.(tx, row))
        const payload = changes.payload({ ...outcome.next, id: row.id })
        return { row: await write(tx, { row, request, columns, steps, payload, at: new Date(at) }), outcome }
      })
      if (result?.outcome.kind === 'changed') changes.emit(result.row, result.row)
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

/**
 * Looks the event up in the state table. While a snapshot is made of a sandbox, every command but `delete` is refused,
 * unless the sandbox is lost.
 */
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

/** The condition for rows whose lease `owner` holds and has not let expire (R1). */
export function heldBy(owner: string): SQL | undefined {
  return and(eq(sandboxes.leaseOwner, owner), gt(sandboxes.leaseExpiresAt, sql`now()`))
}

type Changed = Extract<Transition, { kind: 'changed' }>

/** An event that changes something. */
interface Step {
  event: SandboxEvent
  change: Changed
}

/** Applies a request's events one after the other; the outcome is that of all of them. */
function stepsOf(row: SandboxRow, { event: asked, reason }: ChangeRequest, at: number) {
  const event = typeof asked === 'function' ? asked(row) : asked
  const steps: Step[] = []
  const columns: Partial<SandboxRow> = {}
  let outcome: Transition = { kind: 'same' }
  for (const each of event === undefined ? [] : [event].flat()) {
    const current = { ...row, ...columns }
    const change = outcomeOf(current, each, at)
    if (change.kind === 'refused') return { steps, columns, outcome: change }
    if (change.kind === 'same') continue
    Object.assign(columns, columnsAfter(current, { event: each, next: change.next, reason }))
    steps.push({ event: each, change })
    outcome = { ...change, from: steps[0]?.change.from ?? change.from }
  }
  return { steps, columns, outcome }
}

interface Write {
  /** The row as it was. */
  row: SandboxRow
  request: ChangeRequest
  columns: Partial<SandboxRow>
  steps: readonly Step[]
  /** The notification for the other replicas. */
  payload: string
  at: Date
}

async function write(tx: Queryable, { row: from, request, columns, steps, payload, at }: Write): Promise<SandboxRow> {
  const happened = (...events: SandboxEvent[]) => steps.some(({ event }) => events.includes(event))
  for (const { change } of steps) await letGoOfBackups(tx, from, change.next)
  const writing = tx
    .update(sandboxes)
    .set({
      ...columns,
      // The token of an earlier start opens nothing any more.
      ...(happened('start', 'recover') ? { authToken: sql`default` } : {}),
      ...{ lastActivityAt: at, updatedAt: at },
    })
    .where(eq(sandboxes.id, from.id))
    .returning()
  // Sent together: one round trip to the database.
  const [[row]] = await Promise.all([
    writing.prepare('change_sandbox').execute(),
    writeEvents(tx, eventsOf(from, request, { steps, at }), payload),
  ])
  if (row === undefined) throw new Error('a locked row is gone')
  // A report by the lease's owner comes from a step, which has removed the sandbox from the runner.
  const isCleared = happened('saved') && request.leaseOwner !== undefined
  await noteMove(tx, { from, to: row }, { at, isCleared })
  return row
}

function eventsOf(row: SandboxRow, { actor, reason }: ChangeRequest, { steps, at }: Pick<Write, 'steps' | 'at'>) {
  const { id: sandboxId, organizationId } = row
  return steps.map(({ event, change: { durationMs, ...change } }) => {
    const from = { state: whileSnapshotting(row, change.from), since: at }
    const values = eventValues({ actor, event, from, to: whileSnapshotting(row, change.to), reason, at })
    return { ...values, sandboxId, organizationId, durationMs }
  })
}

/** Inserts event rows and notifies the other replicas, which hear of it after the commit. */
export async function writeEvents(tx: Queryable, values: NewSandboxEventRow[], payload: string): Promise<void> {
  const told = sql<string>`pg_notify(${SANDBOX_CHANNEL}, ${payload})`
  await tx.insert(sandboxEvents).values(values).returning({ told }).prepare('write_events').execute()
}

function leased({ owner, leaseMs, tokenHash }: FirstLease) {
  return { leaseOwner: owner, leaseExpiresAt: inMs(leaseMs), toolboxTokenHash: tokenHash }
}

/** The statement that tells the other replicas of a change. */
export function notifyOf(payload: string): SQL {
  return sql`select pg_notify(${SANDBOX_CHANNEL}, ${payload})`
}
