import type { VolumeEvent, VolumeState, VolumeTransition } from '@atoll/protocol'
import { volumeSteps, volumeTransition } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, eq, inArray, isNotNull, ne, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { leaseHeldBy } from '../reconciliation/row-leases.ts'
import type { Actor } from '../reconciliation/state-events.ts'
import { eventValues, RECONCILER } from '../reconciliation/state-events.ts'
import { isKnown } from '../runners/runner-silence.ts'
import { runners } from '../runners/runner-table.ts'
import type { VolumeChanges } from './volume-changes.ts'
import type { VolumeRow } from './volume-table.ts'
import { sandboxVolumes, volumeEvents, volumes } from './volume-table.ts'

/** One event for one volume, and the conditions under which it is applied. */
export interface VolumeChangeRequest {
  id: string
  event: VolumeEvent
  /** The cause of the event; the reconciler unless given. */
  actor?: Actor
  /** Why, for the event row; with `failed` it becomes the error reason. */
  reason?: string
  /** The runner that makes the volume, with `creation_begun`. */
  runnerId?: string
  /** Applies the event only if the volume belongs to this organization. */
  organizationId?: string
  /** Applies the event only while this owner holds the row's lease. */
  leaseOwner?: string
  /** Runs before the change is written, with the row locked; a throw rolls everything back. */
  before?: (tx: Queryable, row: VolumeRow) => Promise<void>
}

export interface VolumeChangeResult {
  row: VolumeRow
  outcome: VolumeTransition
}

export interface VolumeStoreOptions {
  database: Pick<Database, 'db' | 'transaction'>
  changes: VolumeChanges
  /** Milliseconds since the epoch. */
  now: () => number
}

/** The SQL of volumes. Every write of a state writes the event row in the same transaction. */
export interface VolumeStore {
  transaction: Database['transaction']
  /**
   * Writes a new row. Returns undefined when the name is taken. The caller emits the change after the transaction has
   * committed.
   */
  insert(tx: Queryable, volume: NewVolume, actor: Actor): Promise<VolumeRow | undefined>
  /**
   * Applies one event by the state table. Returns undefined when no row meets the request's conditions, or its runner
   * is removed.
   */
  change(request: VolumeChangeRequest): Promise<VolumeChangeResult | undefined>
  emit(row: VolumeRow): void
  /** Returns an organization's volumes, the last used first. */
  list(organizationId: string, includeDeleted: boolean): Promise<VolumeRow[]>
  findById(organizationId: string, id: string): Promise<VolumeRow | undefined>
  findByName(organizationId: string, name: string): Promise<VolumeRow | undefined>
  /** Returns rows by id, in any state and of any organization. */
  findMany(ids: readonly string[]): Promise<VolumeRow[]>
  /** Returns how many volumes an organization has. */
  count(tx: Queryable, organizationId: string): Promise<number>
  readLeased(id: string, owner: string): Promise<VolumeRow | undefined>
  /** Locks and returns an organization's volumes with these ids or names, so that none is deleted before `tx` ends. */
  lockMany(tx: Queryable, organizationId: string, idsOrNames: readonly string[]): Promise<VolumeRow[]>
  /** Records the mounts of a new sandbox, and that the volumes were used. */
  attach(tx: Queryable, sandboxId: string, mounts: readonly Mount[]): Promise<void>
  /** Returns the runner that has one of these volumes. */
  runnerOf(tx: Queryable, ids: readonly string[]): Promise<string | undefined>
  /** Returns how many sandboxes have the volume and are not destroyed. */
  countUsers(tx: Queryable, id: string): Promise<number>
  /** Returns the runner with the fewest volumes, of `runnerIds`. */
  emptiest(runnerIds: readonly string[]): Promise<string | undefined>
}

export interface NewVolume {
  id: string
  organizationId: string
  name: string
}

export interface Mount {
  volumeId: string
  mountPath: string
  subpath?: string | undefined
}

/** The most volumes that a list returns. */
const LIST_LIMIT = 10_000

export function createVolumeStore(options: VolumeStoreOptions): VolumeStore {
  const { database, changes, now } = options
  const { db } = database
  return {
    transaction: (work) => database.transaction(work),
    async insert(tx, volume, actor) {
      const at = new Date(now())
      const values = { ...volume, state: 'pending_create' as const, changedAt: at, createdAt: at, updatedAt: at }
      const [row] = await tx.insert(volumes).values(values).onConflictDoNothing().returning()
      if (row === undefined) return undefined
      await tx.insert(volumeEvents).values({
        ...idsOf(row),
        ...eventValues({ actor, event: 'create', to: row.state, at }),
      })
      await changes.notify(tx, row)
      return row
    },
    async change(request) {
      const result = await database.transaction((tx) => change(tx, request, options))
      if (result?.outcome.kind === 'changed') changes.emit(result.row)
      return result
    },
    emit: (row) => changes.emit(row),
    ...readers(db),
    lockMany,
    async attach(tx, sandboxId, mounts) {
      if (mounts.length === 0) return
      await tx
        .insert(sandboxVolumes)
        .values(mounts.map(({ subpath = null, ...mount }) => ({ sandboxId, subpath, ...mount })))
      const ids = mounts.map(({ volumeId }) => volumeId)
      await tx
        .update(volumes)
        .set({ lastUsedAt: new Date(now()) })
        .where(inArray(volumes.id, ids))
    },
    async runnerOf(tx, ids) {
      if (ids.length === 0) return undefined
      const there = and(inArray(volumes.id, [...ids]), isNotNull(volumes.runnerId))
      const [row] = await tx.select({ runnerId: volumes.runnerId }).from(volumes).where(there).limit(1)
      return row?.runnerId ?? undefined
    },
    countUsers,
  }
}

function readers(
  db: Queryable,
): Pick<VolumeStore, 'list' | 'findById' | 'findByName' | 'findMany' | 'count' | 'readLeased' | 'emptiest'> {
  return {
    async list(organizationId, includeDeleted) {
      const mine = eq(volumes.organizationId, organizationId)
      return await db
        .select()
        .from(volumes)
        .where(includeDeleted ? mine : and(mine, ne(volumes.state, 'deleted')))
        .orderBy(sql`${volumes.lastUsedAt} desc nulls last`, sql`${volumes.createdAt} desc`, volumes.id)
        .limit(LIST_LIMIT)
    },
    async findById(organizationId, id) {
      const mine = and(eq(volumes.organizationId, organizationId), eq(volumes.id, id))
      const [row] = await db.select().from(volumes).where(mine)
      return row
    },
    async findByName(organizationId, name) {
      const mine = and(eq(volumes.organizationId, organizationId), eq(volumes.name, name))
      const [row] = await db
        .select()
        .from(volumes)
        .where(and(mine, ne(volumes.state, 'deleted')))
      return row
    },
    async findMany(ids) {
      return await db
        .select()
        .from(volumes)
        .where(inArray(volumes.id, [...ids]))
    },
    async count(tx, organizationId) {
      const [counted] = await tx
        .select({ count: sql<number>`count(*)::int` })
        .from(volumes)
        .where(and(eq(volumes.organizationId, organizationId), ne(volumes.state, 'deleted')))
      return counted?.count ?? 0
    },
    async readLeased(id, owner) {
      const [row] = await db
        .select()
        .from(volumes)
        .where(and(eq(volumes.id, id), leaseHeldBy(owner)))
      return row
    },
    async emptiest(runnerIds) {
      if (runnerIds.length === 0) return undefined
      const held = sql`(select count(*) from volumes
        where volumes.runner_id = ${runners.id} and volumes.state <> 'deleted')`
      const [row] = await db
        .select({ id: runners.id })
        .from(runners)
        .where(inArray(runners.id, [...runnerIds]))
        .orderBy(held, runners.id)
        .limit(1)
      return row?.id
    },
  }
}

async function change(
  tx: Queryable,
  request: VolumeChangeRequest,
  { changes, now }: VolumeStoreOptions,
): Promise<VolumeChangeResult | undefined> {
  const { id, organizationId, leaseOwner, event } = request
  const mine = and(
    eq(volumes.id, id),
    organizationId === undefined ? undefined : eq(volumes.organizationId, organizationId),
    leaseOwner === undefined ? undefined : leaseHeldBy(leaseOwner),
  )
  const [row] = await tx.select().from(volumes).where(mine).for('update')
  if (row === undefined) return undefined
  const outcome = volumeTransition(row.state, event)
  if (outcome.kind !== 'changed') return { row, outcome }
  // The runner may have been removed since it was picked.
  if (request.runnerId !== undefined && !(await lockRunner(tx, request.runnerId))) return undefined
  await request.before?.(tx, row)
  const next = await write(tx, row, { request, to: outcome.to, at: new Date(now()) })
  await changes.notify(tx, next)
  return { row: next, outcome }
}

/** Locks a runner until the transaction ends. Returns false when the runner was removed. */
async function lockRunner(tx: Queryable, id: string): Promise<boolean> {
  return (await tx.select({ id: runners.id }).from(runners).where(isKnown(id)).for('share')).length > 0
}

interface VolumeWrite {
  request: Pick<VolumeChangeRequest, 'event' | 'actor' | 'reason'> & { runnerId?: string | null }
  to: VolumeState
  at: Date
}

/** Writes a state and its event row. */
async function write(tx: Queryable, row: VolumeRow, { request, to, at }: VolumeWrite): Promise<VolumeRow> {
  const { actor = RECONCILER, event, reason, runnerId } = request
  const [next] = await tx
    .update(volumes)
    .set({
      ...{ state: to, changedAt: at, updatedAt: at, attempts: 0, nextAttemptAt: null },
      errorReason: to === 'error' ? (reason ?? 'unknown') : null,
      ...(runnerId === undefined ? {} : { runnerId }),
      // The name is free again.
      ...(to === 'deleted' ? { name: `${row.name}-deleted` } : {}),
      ...(volumeSteps[to] === 'none' ? { leaseOwner: null, leaseExpiresAt: null } : {}),
    })
    .where(eq(volumes.id, row.id))
    .returning()
  if (next === undefined) throw new Error('a locked row is gone')
  const from = { state: row.state, since: row.changedAt }
  await tx.insert(volumeEvents).values({ ...idsOf(row), ...eventValues({ actor, event, from, to, reason, at }) })
  return next
}

/** Whether a runner has volumes that are not deleted. */
export async function hasVolumes(tx: Queryable, runnerId: string): Promise<boolean> {
  const rows = await tx.select({ id: volumes.id }).from(volumes).where(isOn(runnerId)).limit(1)
  return rows.length > 0
}

/**
 * Gives up the volumes of a runner that will not return, in the transaction that removes it: no call for them will be
 * made.
 */
export async function giveUpVolumes(tx: Queryable, runnerId: string, at: Date): Promise<void> {
  const request = { event: 'gone', runnerId: null, reason: 'Its runner was lost and removed' } as const
  for (const row of await tx.select().from(volumes).where(isOn(runnerId)).for('update')) {
    const outcome = volumeTransition(row.state, request.event)
    if (outcome.kind === 'changed') await write(tx, row, { request, to: outcome.to, at })
  }
  // Volumes in error stay so.
  await tx.update(volumes).set({ runnerId: null, updatedAt: at }).where(isOn(runnerId))
}

function isOn(runnerId: string): SQL | undefined {
  return and(eq(volumes.runnerId, runnerId), ne(volumes.state, 'deleted'))
}

function idsOf({ id, organizationId }: VolumeRow) {
  return { volumeId: id, organizationId }
}

async function lockMany(tx: Queryable, organizationId: string, idsOrNames: readonly string[]): Promise<VolumeRow[]> {
  if (idsOrNames.length === 0) return []
  const meant = [...idsOrNames]
  const lower = meant.map((text) => text.toLowerCase())
  return await tx
    .select()
    .from(volumes)
    .where(
      and(
        eq(volumes.organizationId, organizationId),
        ne(volumes.state, 'deleted'),
        or(inArray(volumes.name, meant), inArray(sql`${volumes.id}::text`, lower)),
      ),
    )
    .orderBy(volumes.id)
    .for('no key update')
}

async function countUsers(tx: Queryable, id: string): Promise<number> {
  const [counted] = await tx
    .select({ count: sql<number>`count(*)::int` })
    .from(sandboxVolumes)
    .where(
      and(
        eq(sandboxVolumes.volumeId, id),
        sql`exists (select 1 from sandboxes where sandboxes.id = ${sandboxVolumes.sandboxId}
          and sandboxes.state <> 'destroyed')`,
      ),
    )
  return counted?.count ?? 0
}
