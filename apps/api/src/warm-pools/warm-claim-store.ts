import type { SQL } from 'drizzle-orm'
import { and, asc, eq, inArray, isNull, ne, notInArray, or, sql } from 'drizzle-orm'
import type { Database, Queryable } from '../database/database.ts'
import { runners } from '../runners/runner-table.ts'
import { writeEvents } from '../sandboxes/sandbox-change-store.ts'
import type { SandboxChanges } from '../sandboxes/sandbox-changes.ts'
import type { NewSandboxRow, SandboxRow } from '../sandboxes/sandbox-table.ts'
import { sandboxes } from '../sandboxes/sandbox-table.ts'
import { warmPools } from './warm-pool-table.ts'

/** The properties that a member needs to serve a create. */
export interface WantedMember extends Pick<SandboxRow, 'cpu' | 'memoryGib' | 'diskGib'> {
  organizationId: string
  snapshotId: string
  snapshotRef: string
  target: string
  /** Runners that this replica can call; the member must be on one of them. */
  runnerIds: readonly string[]
  /** Ids of members that must not be taken. */
  except: readonly string[]
}

export interface LockedMember {
  id: string
  /** The organization of its pool; null for an operator's pool. */
  poolOrganizationId: string | null
  runnerId: string
  /** Whether its runner has a capacity, so that its room must be checked. */
  isCounted: boolean
}

/** The columns of a member that a claim overwrites. */
export type ClaimColumns = Pick<
  NewSandboxRow,
  | ('name' | 'env' | 'labels' | 'public' | 'autoDestroyAt')
  | ('autoStopMinutes' | 'autoArchiveMinutes' | 'autoDeleteMinutes')
> & { organizationId: string }

/** The SQL of claims. */
export interface WarmClaimStore {
  /**
   * Locks and returns a member that fits and that no other claim holds: the organization's own before the operator's,
   * older members first.
   */
  lockMember(tx: Queryable, wanted: WantedMember): Promise<LockedMember | undefined>
  /** Whether a sandbox of the organization that is not destroyed has this name. */
  isNameTaken(tx: Queryable, organizationId: string, name: string): Promise<boolean>
  /** Gives a locked member to an organization, with new secrets and as if that user had made it at `at`. */
  write(tx: Queryable, id: string, claim: { columns: ClaimColumns; userId: string; at: Date }): Promise<SandboxRow>
  /** Returns ids of claimed sandboxes on these runners whose toolboxes may not know of the claim yet. */
  pending(runnerIds: readonly string[], limit: number): Promise<string[]>
  /** Returns the row if its claim is still pending. */
  findPending(id: string): Promise<SandboxRow | undefined>
  /** Records that the toolbox knows of the claim. Returns the row if the claim was still pending. */
  setDelivered(id: string): Promise<SandboxRow | undefined>
}

export function createWarmClaimStore(options: {
  database: Pick<Database, 'db'>
  changes: Pick<SandboxChanges, 'payload'>
}): WarmClaimStore {
  const { db } = options.database
  return {
    lockMember,
    async isNameTaken(tx, organizationId, name) {
      const same = and(eq(sandboxes.organizationId, organizationId), eq(sandboxes.name, name))
      const [row] = await tx
        .select({ id: sandboxes.id })
        .from(sandboxes)
        .where(and(same, ne(sandboxes.state, 'destroyed')))
      return row !== undefined
    },
    async write(tx, id, { columns, userId, at }) {
      const started = { id, state: 'started', desiredState: 'started', lost: false } as const
      const { organizationId } = columns
      const claimed = { event: 'claim', toState: 'started', durationMs: 0, at }
      const writing = tx
        .update(sandboxes)
        .set({
          ...columns,
          ...{ warmPoolId: null, warmRunnerVersion: null, claimPending: true },
          ...{ authToken: sql`default`, signingKey: sql`default` },
          ...{ changedAt: at, lastActivityAt: at, createdAt: at, updatedAt: at },
        })
        .where(eq(sandboxes.id, id))
        .returning()
      // Sent together: one round trip to the database.
      const [[row]] = await Promise.all([
        writing.prepare('claim_sandbox').execute(),
        writeEvents(
          tx,
          [{ ...claimed, sandboxId: id, organizationId, actorKind: 'user', actorId: userId }],
          options.changes.payload(started),
        ),
      ])
      if (row === undefined) throw new Error('a locked row is gone')
      return row
    },
    async pending(runnerIds, limit) {
      if (runnerIds.length === 0) return []
      const there = inArray(sandboxes.runnerId, [...runnerIds])
      const rows = await db
        .select({ id: sandboxes.id })
        .from(sandboxes)
        .where(and(there, sql`${sandboxes.claimPending}`))
        .limit(limit)
      return rows.map((row) => row.id)
    },
    async findPending(id) {
      const [row] = await db.select().from(sandboxes).where(isPending(id))
      return row
    },
    async setDelivered(id) {
      const [row] = await db.update(sandboxes).set({ claimPending: false }).where(isPending(id)).returning()
      return row
    },
  }
}

async function lockMember(tx: Queryable, wanted: WantedMember): Promise<LockedMember | undefined> {
  const [row] = await tx
    .select({
      ...{ id: sandboxes.id, poolOrganizationId: warmPools.organizationId, runnerId: runners.id },
      isCounted: sql<boolean>`${runners.capacity} is not null`,
    })
    .from(sandboxes)
    .innerJoin(warmPools, eq(warmPools.id, sandboxes.warmPoolId))
    .innerJoin(runners, eq(runners.id, sandboxes.runnerId))
    .where(fits(wanted))
    .orderBy(sql`${warmPools.organizationId} is null`, asc(sandboxes.createdAt))
    .limit(1)
    .for('update', { of: sandboxes, skipLocked: true })
    .prepare('lock_warm_member')
    .execute()
  return row
}

function isPending(id: string): SQL | undefined {
  return and(eq(sandboxes.id, id), sql`${sandboxes.claimPending}`)
}

function fits(wanted: WantedMember): SQL | undefined {
  const { organizationId, snapshotId, snapshotRef, target, cpu, memoryGib, diskGib } = wanted
  return and(
    eq(warmPools.snapshotId, snapshotId),
    eq(warmPools.target, target),
    or(isNull(warmPools.organizationId), eq(warmPools.organizationId, organizationId)),
    and(eq(sandboxes.state, 'started'), eq(sandboxes.desiredState, 'started'), eq(sandboxes.lost, false)),
    eq(sandboxes.snapshotRef, snapshotRef),
    and(eq(sandboxes.cpu, cpu), eq(sandboxes.memoryGib, memoryGib), eq(sandboxes.diskGib, diskGib)),
    inArray(sandboxes.runnerId, [...wanted.runnerIds]),
    and(eq(runners.unschedulable, false), eq(runners.draining, false)),
    wanted.except.length === 0 ? undefined : notInArray(sandboxes.id, [...wanted.except]),
  )
}
