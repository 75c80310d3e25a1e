import { AppError } from '@atoll/protocol'
import { eq } from 'drizzle-orm'
import { organizationNotFound } from '../auth/authorizer.ts'
import type { Queryable } from '../database/database.ts'
import type { OrganizationRow } from './organization-table.ts'
import { organizations } from './organization-table.ts'
import type { SandboxSize, SandboxUsage, SnapshotUsage } from './quota-limits.ts'
import {
  boundsSandboxUsage,
  checkSandboxSize,
  checkSandboxUsage,
  checkSnapshotSize,
  checkSnapshotUsage,
  checkVolumeUsage,
} from './quota-limits.ts'
import { isSuspended } from './suspension.ts'

/** The requested size of a sandbox, and what it adds to the counted sums. */
export interface SandboxDemand {
  /** The size to check against the largest of one sandbox, when given. */
  size?: SandboxSize
  adds: SandboxUsage
  /** Counts the organization's usage, in the same transaction; called only when there is a limit. */
  usage: () => Promise<SandboxUsage>
}

export interface SnapshotDemand {
  /** 0 where the size is not known yet. */
  sizeGib: number
  /** Counts the usage without this snapshot, in the same transaction. */
  usage: () => Promise<SnapshotUsage>
}

/**
 * Checks the quotas of an organization. Each check locks the organization until the caller's transaction ends, so that
 * simultaneous calls never pass a limit together. It comes before any lock on a runner, snapshot or volume. The checks
 * throw ORGANIZATION_NOT_FOUND, ORGANIZATION_SUSPENDED and QUOTA_EXCEEDED.
 */
export interface Quotas {
  /** Returns the organization, if it may make and start things. */
  requireActive(tx: Queryable, organizationId: string): Promise<OrganizationRow>
  /** Checks without a lock, for an organization that the transaction has locked. */
  checkSandboxOf(organization: OrganizationRow, demand: SandboxDemand): Promise<void>
  /** Returns the organization. */
  checkSandbox(tx: Queryable, organizationId: string, demand: SandboxDemand): Promise<OrganizationRow>
  checkSnapshot(tx: Queryable, organizationId: string, demand: SnapshotDemand): Promise<void>
  /** `count` counts the volumes without the new one, in the same transaction. */
  checkVolume(tx: Queryable, organizationId: string, count: () => Promise<number>): Promise<void>
}

/** `now` returns milliseconds since the epoch. */
export function createQuotas({ now }: { now: () => number }): Quotas {
  async function requireActive(tx: Queryable, organizationId: string): Promise<OrganizationRow> {
    const mine = eq(organizations.id, organizationId)
    // `for update` would also wait for transactions that only refer to the organization.
    const locking = tx.select().from(organizations).where(mine).for('no key update')
    const [row] = await locking.prepare('lock_organization').execute()
    if (row === undefined || row.deletedAt !== null) throw organizationNotFound(organizationId)
    if (!isSuspended(row, now())) return row
    const reason = row.suspensionReason || 'no reason given'
    throw new AppError('ORGANIZATION_SUSPENDED', `Organization is suspended: ${reason}`)
  }

  async function checkSandboxOf(limits: OrganizationRow, { size, adds, usage }: SandboxDemand): Promise<void> {
    if (size !== undefined) checkSandboxSize(limits, size)
    if (boundsSandboxUsage(limits)) checkSandboxUsage(limits, await usage(), adds)
  }

  return {
    requireActive,
    checkSandboxOf,
    async checkSandbox(tx, organizationId, demand) {
      const organization = await requireActive(tx, organizationId)
      await checkSandboxOf(organization, demand)
      return organization
    },
    async checkSnapshot(tx, organizationId, { sizeGib, usage }) {
      const limits = await requireActive(tx, organizationId)
      checkSnapshotSize(limits, sizeGib)
      if (limits.snapshotQuota === null && limits.snapshotTotalGibQuota === null) return
      checkSnapshotUsage(limits, await usage(), { snapshots: 1, totalGib: sizeGib })
    },
    async checkVolume(tx, organizationId, count) {
      const limits = await requireActive(tx, organizationId)
      if (limits.volumeQuota !== null) checkVolumeUsage(limits, await count())
    },
  }
}
