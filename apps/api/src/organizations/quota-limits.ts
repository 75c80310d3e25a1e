import { AppError } from '@atoll/protocol'
import type { OrganizationRow } from './organization-table.ts'

/** The limits of an organization, in cores and GiB; null is without limit. */
export type QuotaLimits = Pick<
  OrganizationRow,
  | 'cpuQuota'
  | 'memoryGibQuota'
  | 'diskGibQuota'
  | 'maxSandboxCpu'
  | 'maxSandboxMemoryGib'
  | 'maxSandboxDiskGib'
  | 'sandboxQuota'
  | 'runningSandboxQuota'
  | 'snapshotQuota'
  | 'maxSnapshotGib'
  | 'snapshotTotalGibQuota'
  | 'volumeQuota'
>

/** The limits of a new organization: §4 of the contract. */
export const DEFAULT_QUOTAS: Readonly<QuotaLimits> = Object.freeze({
  cpuQuota: 10,
  memoryGibQuota: 10,
  diskGibQuota: 30,
  maxSandboxCpu: 4,
  maxSandboxMemoryGib: 8,
  maxSandboxDiskGib: 10,
  sandboxQuota: null,
  runningSandboxQuota: null,
  snapshotQuota: 100,
  maxSnapshotGib: 20,
  snapshotTotalGibQuota: null,
  volumeQuota: 100,
})

/** The limits for the owner of the machine, which itself is the only bound. */
export const UNLIMITED_QUOTAS: Readonly<QuotaLimits> = Object.freeze({
  cpuQuota: null,
  memoryGibQuota: null,
  diskGibQuota: null,
  maxSandboxCpu: null,
  maxSandboxMemoryGib: null,
  maxSandboxDiskGib: null,
  sandboxQuota: null,
  runningSandboxQuota: null,
  snapshotQuota: null,
  maxSnapshotGib: null,
  snapshotTotalGibQuota: null,
  volumeQuota: null,
})

/** The cores and GiB of one sandbox. */
export interface SandboxSize {
  cpu: number
  memoryGib: number
  diskGib: number
}

/**
 * The sums over an organization's sandboxes: disk of all that exist and have not failed; cpu and memory of those of
 * them that run or shall run.
 */
export interface SandboxUsage extends SandboxSize {
  sandboxes: number
  running: number
}

/** The number of snapshots, and the sum of their known sizes (GiB). */
export interface SnapshotUsage {
  snapshots: number
  totalGib: number
}

interface Bound {
  what: string
  limit: number | null
  used: number
  adds: number
}

/** Throws QUOTA_EXCEEDED for a sandbox above the largest size. */
export function checkSandboxSize(limits: QuotaLimits, size: SandboxSize): void {
  checkLargest('CPU of a sandbox', limits.maxSandboxCpu, size.cpu)
  checkLargest('memory of a sandbox (GiB)', limits.maxSandboxMemoryGib, size.memoryGib)
  checkLargest('disk of a sandbox (GiB)', limits.maxSandboxDiskGib, size.diskGib)
}

/** Throws QUOTA_EXCEEDED when `adds` on top of `used` is too much; an amount that adds nothing is never refused. */
export function checkSandboxUsage(limits: QuotaLimits, used: SandboxUsage, adds: SandboxUsage): void {
  const { sandboxQuota, runningSandboxQuota } = limits
  checkSum({ what: 'sandboxes', limit: sandboxQuota, used: used.sandboxes, adds: adds.sandboxes })
  checkSum({ what: 'running sandboxes', limit: runningSandboxQuota, used: used.running, adds: adds.running })
  checkSum({ what: 'total disk (GiB)', limit: limits.diskGibQuota, used: used.diskGib, adds: adds.diskGib })
  checkSum({ what: 'total CPU', limit: limits.cpuQuota, used: used.cpu, adds: adds.cpu })
  checkSum({ what: 'total memory (GiB)', limit: limits.memoryGibQuota, used: used.memoryGib, adds: adds.memoryGib })
}

/** Whether any limit applies to the sums over the sandboxes. */
export function boundsSandboxUsage(limits: QuotaLimits): boolean {
  const { sandboxQuota, runningSandboxQuota, diskGibQuota, cpuQuota, memoryGibQuota } = limits
  return [sandboxQuota, runningSandboxQuota, diskGibQuota, cpuQuota, memoryGibQuota].some((limit) => limit !== null)
}

/** Throws QUOTA_EXCEEDED for a snapshot above the largest size. */
export function checkSnapshotSize(limits: QuotaLimits, sizeGib: number): void {
  checkLargest('size of a snapshot (GiB)', limits.maxSnapshotGib, sizeGib)
}

/** Throws QUOTA_EXCEEDED when `adds` on top of `used` is too much. */
export function checkSnapshotUsage(limits: QuotaLimits, used: SnapshotUsage, adds: SnapshotUsage): void {
  const { snapshotQuota, snapshotTotalGibQuota } = limits
  checkSum({ what: 'snapshots', limit: snapshotQuota, used: used.snapshots, adds: adds.snapshots })
  const sizes = { what: 'size of all snapshots (GiB)', limit: snapshotTotalGibQuota }
  checkSum({ ...sizes, used: used.totalGib, adds: adds.totalGib })
}

/** Throws QUOTA_EXCEEDED when one more volume is too much. */
export function checkVolumeUsage(limits: QuotaLimits, used: number): void {
  checkSum({ what: 'volumes', limit: limits.volumeQuota, used, adds: 1 })
}

function checkLargest(what: string, limit: number | null, asked: number): void {
  if (limit === null || asked <= limit) return
  throw new AppError('QUOTA_EXCEEDED', `Limit of ${what} exceeded: ${asked} asked for, ${limit} allowed`)
}

function checkSum({ what, limit, used, adds }: Bound): void {
  if (limit === null || adds <= 0 || used + adds <= limit) return
  throw new AppError('QUOTA_EXCEEDED', `Quota of ${what} exceeded: ${used} of ${limit} used, ${adds} more asked for`)
}
