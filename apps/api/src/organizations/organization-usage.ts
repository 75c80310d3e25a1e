import type { UsageOverview } from '@atoll/protocol'
import { DEFAULT_TARGET } from '@atoll/protocol'
import type { RegionUsage } from '../sandboxes/organization-sandboxes.ts'
import { shownBound } from './organization-dto.ts'
import type { QuotaLimits, SnapshotUsage } from './quota-limits.ts'

/** The usage of an organization besides sandboxes. */
export interface StoredUsage extends SnapshotUsage {
  volumes: number
}

/** Shows the used amounts and their limits, under the names that each generation of clients has for them. */
export function toUsageOverview(
  limits: QuotaLimits,
  stored: StoredUsage,
  used: { regions: readonly RegionUsage[]; defaultRegionId: string | null },
): UsageOverview {
  const sum = (amount: (region: RegionUsage) => number) => used.regions.reduce((so, region) => so + amount(region), 0)
  const regions = used.regions.length > 0 ? used.regions : [emptyRegion(used.defaultRegionId ?? DEFAULT_TARGET)]
  return {
    ...quotasOf(limits),
    totalGpuQuota: 0,
    currentCpuUsage: sum(({ cpu }) => cpu),
    currentMemoryUsage: sum(({ memoryGib }) => memoryGib),
    currentDiskUsage: sum(({ diskGib }) => diskGib),
    totalWorkspaceQuota: shownBound(limits.sandboxQuota),
    concurrentWorkspaceQuota: shownBound(limits.runningSandboxQuota),
    currentWorkspaces: sum(({ sandboxes }) => sandboxes),
    concurrentWorkspaces: sum(({ started }) => started),
    imageQuota: shownBound(limits.snapshotQuota),
    currentImageNumber: stored.snapshots,
    totalImageSizeQuota: shownBound(limits.snapshotTotalGibQuota),
    totalImageSizeUsed: stored.totalGib,
    totalSnapshotQuota: shownBound(limits.snapshotQuota),
    currentSnapshotUsage: stored.snapshots,
    totalVolumeQuota: shownBound(limits.volumeQuota),
    currentVolumeUsage: stored.volumes,
    regionUsage: regions.map((region) => toRegionUsage(limits, region)),
  }
}

function toRegionUsage(limits: QuotaLimits, region: RegionUsage): UsageOverview['regionUsage'][number] {
  return {
    ...quotasOf(limits),
    regionId: region.regionId,
    sandboxClass: 'container',
    currentCpuUsage: region.cpu,
    currentMemoryUsage: region.memoryGib,
    currentDiskUsage: region.diskGib,
    totalGpuQuota: 0,
    currentGpuUsage: 0,
    maxCpuPerSandbox: shownBound(limits.maxSandboxCpu),
    maxMemoryPerSandbox: shownBound(limits.maxSandboxMemoryGib),
    maxDiskPerSandbox: shownBound(limits.maxSandboxDiskGib),
    ...{ maxDiskPerNonEphemeralSandbox: null, maxCpuPerGpu: null, maxMemoryPerGpu: null, maxDiskPerGpu: null },
  }
}

function quotasOf(limits: QuotaLimits) {
  return {
    totalCpuQuota: shownBound(limits.cpuQuota),
    totalMemoryQuota: shownBound(limits.memoryGibQuota),
    totalDiskQuota: shownBound(limits.diskGibQuota),
  }
}

function emptyRegion(regionId: string): RegionUsage {
  return { regionId, cpu: 0, memoryGib: 0, diskGib: 0, sandboxes: 0, started: 0 }
}
