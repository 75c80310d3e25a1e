import type { UpdateQuota } from '@atoll/protocol'
import type { QuotaLimits } from './quota-limits.ts'

type Asked = number | null | undefined

/** Returns the limits that a body changes: null and absent keep a limit, -1 lifts it. */
export function toQuotaChanges(body: UpdateQuota): Partial<QuotaLimits> {
  const asked: Record<keyof QuotaLimits, Asked> = {
    cpuQuota: body.totalCpuQuota,
    memoryGibQuota: body.totalMemoryQuota,
    diskGibQuota: body.totalDiskQuota,
    maxSandboxCpu: body.maxCpuPerSandbox ?? body.maxCpuPerWorkspace,
    maxSandboxMemoryGib: body.maxMemoryPerSandbox ?? body.maxMemoryPerWorkspace,
    maxSandboxDiskGib: body.maxDiskPerSandbox ?? body.maxDiskPerWorkspace,
    sandboxQuota: body.workspaceQuota,
    runningSandboxQuota: body.maxConcurrentWorkspaces,
    snapshotQuota: body.snapshotQuota ?? body.imageQuota,
    maxSnapshotGib: body.maxSnapshotSize ?? body.maxImageSize,
    snapshotTotalGibQuota: body.totalImageSize,
    volumeQuota: body.volumeQuota,
  }
  const changes = Object.entries(asked).flatMap(([column, value]) =>
    value === null || value === undefined ? [] : [[column, value < 0 ? null : value]],
  )
  return Object.fromEntries(changes)
}
