import { randomUUID } from 'node:crypto'
import { AppError, phaseOf } from '@atoll/protocol'
import type { SQL } from 'drizzle-orm'
import { and, asc, eq, gt, inArray, isNull, lt, lte, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../../database/database.ts'
import { inMs } from '../../reconciliation/row-leases.ts'
import { heldBy } from '../sandbox-change-store.ts'
import type { SandboxRow } from '../sandbox-table.ts'
import { sandboxes } from '../sandbox-table.ts'
import type { BackupRow } from './backup-table.ts'
import { sandboxBackups } from './backup-table.ts'
import { discardBackups, isUnfinished } from './discard-backups.ts'

/** The size and checksum of a whole object. */
export interface BackupSum {
  bytes: number
  sha256: string
}

/** A whole backup. */
export interface KeptBackup extends BackupSum {
  id: string
  ofChange: Date
  /** Null for a backup that was written in one piece. */
  partBytes: number | null
}

/** A backup that is being made, and its sandbox. */
export interface BackupJob {
  id: string
  sandbox: SandboxRow
  /** Failed tries since the last one with progress. */
  attempts: number
}

/** A backup whose object is to be deleted, and its sandbox's runner. */
export interface DiscardedBackup extends Pick<BackupRow, 'id' | 'sandboxId' | 'attempts'> {
  runnerId: string | null
}

export interface JobRequest {
  owner: string
  /** Leases only backups of sandboxes on these runners. */
  runnerIds: readonly string[]
  limit: number
  leaseMs: number
}

/** The SQL of backups. Leases run on the database's clock. No write throws when a lease is no longer the owner's. */
export interface BackupStore {
  /** Notes that a backup is wanted and returns the row; undefined for an unknown sandbox. Throws SANDBOX_STATE_CONFLICT. */
  request(sandboxId: string, organizationId: string): Promise<SandboxRow | undefined>
  /** Leases wanted backups that no replica makes. */
  lease(request: JobRequest): Promise<BackupJob[]>
  renew(owner: string, ids: readonly string[], leaseMs: number): Promise<void>
  /** Notes how many tries failed since the last one with progress, and gives the lease back; `last`: the backup is given up. */
  fail(id: string, owner: string, retry: { attempts: number; delayMs: number; last: boolean }): Promise<void>
  /** Gives a lease back, under which the caller writes nothing any more. */
  release(id: string, owner: string): Promise<void>
  /** Records that a wanted backup is whole, and discards the one before. Returns false if it is not wanted any more. */
  keep(id: string, owner: string, sum: BackupSum): Promise<boolean>

  /**
   * Begins the backup that an archive needs, or takes over the one that was begun for this change of state, for `owner`, who
   * holds the sandbox's lease. Returns the backup's id; undefined if the lease is lost.
   */
  beginArchive(row: SandboxRow, owner: string, backup: { id: string; leaseMs: number }): Promise<string | undefined>
  /** Records that this backup is whole: from now on the sandbox's files may be removed. Returns false if that came too late. */
  keepForArchive(row: SandboxRow, owner: string, backup: BackupSum & { id: string }): Promise<boolean>
  /** Returns the whole backup of `row`; undefined if there is none. */
  kept(row: SandboxRow): Promise<KeptBackup | undefined>
  /** Returns whether the archive that `row` is being changed to is whole: then its files may be gone from the runner. */
  isSaved(row: SandboxRow): Promise<boolean>

  /** Returns backups whose objects are to be deleted and that no replica may still be writing, oldest first. */
  discarded(limit: number): Promise<DiscardedBackup[]>
  /** Notes that an object could not be deleted, and when to try again. */
  postpone(id: string, retry: { attempts: number; delayMs: number }): Promise<void>
  /** Deletes the row of a backup whose object is deleted, unless a replica may still be writing the object. */
  forget(id: string): Promise<void>
}

type BackupStoreOptions = Pick<Database, 'db' | 'transaction'> & {
  /** Milliseconds since the epoch. */
  now: () => number
}

export function createBackupStore({ db, transaction, now }: BackupStoreOptions): BackupStore {
  return {
    request: (sandboxId, organizationId) =>
      transaction((tx) => request(tx, { sandboxId, organizationId, at: new Date(now()) })),
    lease: (request) => transaction((tx) => lease(tx, request)),
    async renew(owner, ids, leaseMs) {
      if (ids.length === 0) return
      await db
        .update(sandboxBackups)
        .set({ leaseExpiresAt: inMs(leaseMs) })
        .where(and(inArray(sandboxBackups.id, [...ids]), isHeldBy(owner)))
    },
    fail: (id, owner, retry) => transaction((tx) => fail(tx, { id, owner, ...retry })),
    async release(id, owner) {
      const mine = and(eq(sandboxBackups.id, id), eq(sandboxBackups.leaseOwner, owner))
      await db.update(sandboxBackups).set(noLease).where(mine)
    },
    keep: (id, owner, sum) =>
      transaction(async (tx) => {
        const sandbox = await lockJob(tx, id, owner)
        if (sandbox === undefined) return false
        await keep(tx, sandbox, { id, ...sum })
        return true
      }),

    beginArchive: (row, owner, backup) =>
      transaction((tx) => beginArchive(tx, row, { owner, at: new Date(now()), ...backup })),
    keepForArchive: (row, owner, { id, bytes, sha256 }) =>
      transaction(async (tx) => {
        if (!(await lockArchiving(tx, row, owner))) return false
        const [writing] = await tx.select().from(sandboxBackups).where(eq(sandboxBackups.id, id)).for('update')
        if (writing?.state !== 'writing') return false
        await keep(tx, row, { id, bytes, sha256 })
        return true
      }),
    kept: (row) => kept(db, row),
    async isSaved({ id, changedAt }) {
      // The row may be older than the save, so its `backupId` does not tell.
      const ofThisChange = and(eq(sandboxBackups.sandboxId, id), eq(sandboxBackups.ofChange, changedAt))
      const whole = and(ofThisChange, eq(sandboxBackups.state, 'kept'))
      return (await db.select({ one: sql`1` }).from(sandboxBackups).where(whole)).length > 0
    },

    async discarded(limit) {
      const { id, sandboxId, state, attempts, createdAt } = sandboxBackups
      return await db
        .select({ id, sandboxId, attempts, runnerId: sandboxes.runnerId })
        .from(sandboxBackups)
        .innerJoin(sandboxes, eq(sandboxes.id, sandboxId))
        .where(and(eq(state, 'discarded'), leaseIsOver(), isDue()))
        .orderBy(asc(createdAt))
        .limit(limit)
    },
    async postpone(id, { attempts, delayMs }) {
      const isDiscarded = and(eq(sandboxBackups.id, id), eq(sandboxBackups.state, 'discarded'))
      await db
        .update(sandboxBackups)
        .set({ attempts, nextAttemptAt: inMs(delayMs) })
        .where(isDiscarded)
    },
    async forget(id) {
      await db
        .delete(sandboxBackups)
        .where(and(eq(sandboxBackups.id, id), eq(sandboxBackups.state, 'discarded'), leaseIsOver()))
    },
  }
}

async function kept(db: Queryable, { backupId }: SandboxRow): Promise<KeptBackup | undefined> {
  if (backupId === null) return undefined
  const [row] = await db
    .select()
    .from(sandboxBackups)
    .where(and(eq(sandboxBackups.id, backupId), eq(sandboxBackups.state, 'kept')))
  if (row?.bytes == null || row.sha256 === null) return undefined
  const { id, ofChange, bytes, sha256, partBytes } = row
  return { id, ofChange, bytes, sha256, partBytes }
}

interface NewArchive {
  owner: string
  id: string
  leaseMs: number
  at: Date
}

async function beginArchive(tx: Queryable, row: SandboxRow, archive: NewArchive): Promise<string | undefined> {
  const { owner, id, leaseMs, at } = archive
  if (!(await lockArchiving(tx, row, owner))) return undefined
  const lease = { leaseOwner: owner, leaseExpiresAt: inMs(leaseMs) }
  const ofThisChange = and(
    ...[eq(sandboxBackups.sandboxId, row.id), eq(sandboxBackups.state, 'writing')],
    eq(sandboxBackups.ofChange, row.changedAt),
  )
  const [begun] = await tx.update(sandboxBackups).set(lease).where(ofThisChange).returning({ id: sandboxBackups.id })
  if (begun !== undefined) return begun.id
  await discardBackups(tx, and(eq(sandboxBackups.sandboxId, row.id), isUnfinished))
  const columns = { id, sandboxId: row.id, ofChange: row.changedAt, createdAt: at, ...lease }
  await tx.insert(sandboxBackups).values({ ...columns, state: 'writing' })
  return id
}

interface Wish {
  sandboxId: string
  organizationId: string
  at: Date
}

async function request(tx: Queryable, { sandboxId, organizationId, at }: Wish): Promise<SandboxRow | undefined> {
  const mine = and(eq(sandboxes.id, sandboxId), eq(sandboxes.organizationId, organizationId))
  const [row] = await tx.select().from(sandboxes).where(mine).for('update')
  if (row === undefined) return undefined
  checkBackupCanBegin(row)
  const columns = { state: 'pending' as const, ofChange: row.changedAt, createdAt: at }
  // An archive that was not finished goes on as a backup: the files are the same.
  const begun = await tx
    .update(sandboxBackups)
    .set({ ...columns, ...noLease })
    .where(and(eq(sandboxBackups.sandboxId, sandboxId), isUnfinished))
    .returning({ id: sandboxBackups.id })
  if (begun.length === 0) await tx.insert(sandboxBackups).values({ id: randomUUID(), sandboxId, ...columns })
  const wanted = { backupState: 'Pending' as const }
  const [changed] = await tx.update(sandboxes).set(wanted).where(eq(sandboxes.id, sandboxId)).returning()
  return changed
}

function checkBackupCanBegin(row: SandboxRow): void {
  const phase = phaseOf(row)
  const refusal = (message: string) => new AppError('SANDBOX_STATE_CONFLICT', message)
  if (phase !== 'started' && phase !== 'stopped') throw refusal('Sandbox is not in valid state')
  if (row.backupState === 'Pending' || row.backupState === 'InProgress') throw refusal('Backup already in progress')
}

const noLease = { leaseOwner: null, leaseExpiresAt: null }

/** Records that a backup is whole, whose row the caller has locked. */
async function keep(
  tx: Queryable,
  sandbox: Pick<SandboxRow, 'id' | 'backupId'>,
  { id, bytes, sha256 }: BackupSum & { id: string },
): Promise<void> {
  const [kept] = await tx
    .update(sandboxBackups)
    .set({ state: 'kept', bytes, sha256, ...noLease })
    .where(eq(sandboxBackups.id, id))
    .returning({ createdAt: sandboxBackups.createdAt })
  if (kept === undefined) throw new Error(`backup ${id} has no row`)
  // The sandbox may have run on while its packed files were sent, so only the time before packing is true (R13).
  await tx
    .update(sandboxes)
    .set({ backupState: 'Completed', backupId: id, backupCreatedAt: kept.createdAt })
    .where(eq(sandboxes.id, sandbox.id))
  if (sandbox.backupId !== null) await discardBackups(tx, eq(sandboxBackups.id, sandbox.backupId))
}

async function lease(tx: Queryable, { owner, runnerIds, limit, leaseMs }: JobRequest): Promise<BackupJob[]> {
  const rows = await tx
    .select({ backup: sandboxBackups, sandbox: sandboxes })
    .from(sandboxBackups)
    .innerJoin(sandboxes, eq(sandboxes.id, sandboxBackups.sandboxId))
    .where(
      and(
        isUnfinished,
        // The backup of an archive is written by the reconciler only, also while it waits for the next try.
        eq(sandboxes.state, sandboxes.desiredState),
        inArray(sandboxes.backupState, ['Pending', 'InProgress']),
        inArray(sandboxes.runnerId, [...runnerIds]),
        leaseIsOver(),
        isDue(),
      ),
    )
    .orderBy(asc(sandboxBackups.createdAt))
    .limit(limit)
    .for('update', { skipLocked: true })
  const ids = rows.map(({ backup }) => backup.id)
  if (ids.length === 0) return []
  await tx
    .update(sandboxBackups)
    .set({ state: 'writing', leaseOwner: owner, leaseExpiresAt: inMs(leaseMs) })
    .where(inArray(sandboxBackups.id, ids))
  const sandboxIds = rows.map(({ sandbox }) => sandbox.id)
  await tx.update(sandboxes).set({ backupState: 'InProgress' }).where(inArray(sandboxes.id, sandboxIds))
  return rows.map(({ backup, sandbox }) => ({ id: backup.id, sandbox, attempts: backup.attempts }))
}

interface Failure {
  id: string
  owner: string
  attempts: number
  delayMs: number
  last: boolean
}

async function fail(tx: Queryable, { id, owner, attempts, delayMs, last }: Failure): Promise<void> {
  const sandbox = await lockJob(tx, id, owner)
  if (sandbox === undefined) return
  await tx
    .update(sandboxBackups)
    .set({
      ...{ attempts, nextAttemptAt: inMs(delayMs), ...noLease },
      ...(last ? { state: 'discarded' as const } : {}),
    })
    .where(eq(sandboxBackups.id, id))
  if (last) await tx.update(sandboxes).set({ backupState: 'Error' }).where(eq(sandboxes.id, sandbox.id))
}

/** Locks a backup that `owner` makes, and its sandbox: the sandbox first, as every change of a sandbox does. */
async function lockJob(tx: Queryable, id: string, owner: string): Promise<SandboxRow | undefined> {
  const [found] = await tx.select().from(sandboxBackups).where(held(id, owner))
  if (found === undefined) return undefined
  const [sandbox] = await tx.select().from(sandboxes).where(eq(sandboxes.id, found.sandboxId)).for('update')
  const still = await tx.select({ id: sandboxBackups.id }).from(sandboxBackups).where(held(id, owner)).for('update')
  return still.length === 0 ? undefined : sandbox
}

/** Locks a sandbox. Returns false unless `owner` still archives it, and for the same change of state. */
async function lockArchiving(tx: Queryable, row: SandboxRow, owner: string): Promise<boolean> {
  const same = and(eq(sandboxes.id, row.id), eq(sandboxes.changedAt, row.changedAt), heldBy(owner))
  const rows = await tx.select({ id: sandboxes.id }).from(sandboxes).where(same).for('update')
  return rows.length > 0
}

function held(id: string, owner: string): SQL | undefined {
  return and(eq(sandboxBackups.id, id), eq(sandboxBackups.state, 'writing'), isHeldBy(owner))
}

function isHeldBy(owner: string): SQL | undefined {
  return and(eq(sandboxBackups.leaseOwner, owner), gt(sandboxBackups.leaseExpiresAt, sql`now()`))
}

function leaseIsOver(): SQL | undefined {
  return or(isNull(sandboxBackups.leaseExpiresAt), lt(sandboxBackups.leaseExpiresAt, sql`now()`))
}

function isDue(): SQL | undefined {
  return or(isNull(sandboxBackups.nextAttemptAt), lte(sandboxBackups.nextAttemptAt, sql`now()`))
}
