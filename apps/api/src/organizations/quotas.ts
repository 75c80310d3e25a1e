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

/** What a sandbox shall have, and what that takes on top of what is counted. */
export interface SandboxDemand {
  /** Checked against what one sandbox may have, when given. */
  size?: SandboxSize
  adds: SandboxUsage
  /** Counts what the organization has, in the same transaction; called only when there is a bound. */
  usage: () => Promise<SandboxUsage>
}

export interface SnapshotDemand {
  /** 0 where it is not known yet. */
  sizeGib: number
  /** Counts what the organization has without it, in the same transaction. */
  usage: () => Promise<SnapshotUsage>
}

/**
 * What an organization may have. Each check locks the organization until the caller's transaction ends, so that of
 * several at its edge as many win as there is room for. It comes before any lock on a runner, snapshot or volume.
 * All throw ORGANIZATION_NOT_FOUND, ORGANIZATION_SUSPENDED and QUOTA_EXCEEDED.
 */
export interface Quotas {
  /** Answers the organization, which may make and start things. */
  requireActive(tx: Queryable, organizationId: string): Promise<OrganizationRow>
  /** The same without a lock, for an organization that the transaction has locked. */
  checkSandboxOf(organization: OrganizationRow, demand: SandboxDemand): Promise<void>
  /** Answers the organization. */
  checkSandbox(tx: Queryable, organizationId: string, demand: SandboxDemand): Promise<OrganizationRow>
  checkSnapshot(tx: Queryable, organizationId: string, demand: SnapshotDemand): Promise<void>
  /** `count` counts what the organization has without the new one, in the same transaction. */
  checkVolume(tx: Queryable, organizationId: string, count: () => Promise<number>): Promise<void>
}

/** `now`: milliseconds since the epoch. */
export function createQuotas({ now }: { now: () => number }): Quotas {
  async function requireActive(tx: Queryable, organizationId: string): Promise<OrganizationRow> {
    const mine = eq(organizations.id, organizationId)
    // Not `for update`, which would also wait for whoever only refers to the organization.
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
