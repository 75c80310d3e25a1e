import type { Organization, OrganizationInvitation, OrganizationRole, OrganizationUser } from '@atoll/protocol'
import { SUSPENSION_GRACE_HOURS, UNBOUNDED } from '@atoll/protocol'
import type { InvitationWithRoles } from './invitation-store.ts'
import type { MemberRow } from './member-store.ts'
import type { OrganizationRow } from './organization-table.ts'
import type { RoleRow } from './role-store.ts'
import { isSuspended } from './suspension.ts'

/** Shows a limit as a number, which clients expect even where there is no limit. */
export function shownBound(limit: number | null): number {
  return limit ?? UNBOUNDED
}

const WHAT_THERE_IS_NOT_YET = {
  ...{ secretQuota: 0, maxSecretsPerSandbox: 0, snapshotDeactivationTimeoutMinutes: UNBOUNDED },
  ...{ sandboxLimitedNetworkEgress: false, previewWarningEnabled: false, ssoEnabled: false, scimEnabled: false },
  ...{ authenticatedRateLimit: null, authenticatedRateLimitTtlSeconds: null },
  ...{ sandboxCreateRateLimit: null, sandboxCreateRateLimitTtlSeconds: null },
  ...{ sandboxLifecycleRateLimit: null, sandboxLifecycleRateLimitTtlSeconds: null },
  ...{ experimentalConfig: {}, otelConfig: null },
}

/** Shows the organization as it is at `now` (milliseconds since the epoch). */
export function toOrganization(row: OrganizationRow, now: number): Organization {
  return {
    id: row.id,
    name: row.name,
    createdBy: row.createdBy,
    personal: row.personal,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
    suspended: isSuspended(row, now),
    suspendedAt: row.suspendedAt?.toISOString() ?? null,
    suspensionReason: row.suspensionReason,
    suspendedUntil: row.suspendedUntil?.toISOString() ?? null,
    suspensionCleanupGracePeriodHours: SUSPENSION_GRACE_HOURS,
    maxCpuPerSandbox: shownBound(row.maxSandboxCpu),
    maxMemoryPerSandbox: shownBound(row.maxSandboxMemoryGib),
    maxDiskPerSandbox: shownBound(row.maxSandboxDiskGib),
    ...WHAT_THERE_IS_NOT_YET,
    ...(row.defaultRegionId === null ? {} : { defaultRegionId: row.defaultRegionId }),
  }
}

export function toRole(row: RoleRow): OrganizationRole {
  const { id, name, description, permissions } = row
  return {
    ...{ id, name, description, permissions },
    isGlobal: row.organizationId === null,
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

export function toMember(row: MemberRow): OrganizationUser {
  const { userId, organizationId, name, email, role } = row
  return {
    ...{ userId, organizationId, name, email, role },
    assignedRoles: row.roles.map(toRole),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}

export function toInvitation(row: InvitationWithRoles): OrganizationInvitation {
  const { id, email, invitedBy, organizationId, organizationName, status, role } = row
  return {
    ...{ id, email, invitedBy, organizationId, organizationName, status, role },
    expiresAt: row.expiresAt.toISOString(),
    assignedRoles: row.roles.map(toRole),
    createdAt: row.createdAt.toISOString(),
    updatedAt: row.updatedAt.toISOString(),
  }
}
