import type { SandboxLimits } from '@atoll/protocol'
import type { CgroupLayout } from './sandbox-cgroups.ts'

const GIB = 1024 ** 3
/** The kernel shares out cpu time in periods of this many microseconds, and takes no quota below 1,000. */
export const CPU_PERIOD_US = 100_000
const MIN_CPU_QUOTA_US = 1_000
/** Of memory and swap together; not every kernel has it. */
export const SWAP_LIMIT = 'memory/memory.memsw.limit_in_bytes'

/** Microseconds of a period. */
export function cpuQuota({ cpu }: Pick<SandboxLimits, 'cpu'>): number {
  return Math.max(MIN_CPU_QUOTA_US, Math.round(cpu * CPU_PERIOD_US))
}

export function memoryBytes({ memoryGiB }: Pick<SandboxLimits, 'memoryGiB'>): number {
  return Math.floor(memoryGiB * GIB)
}

/** What to write where, in order, to change the limits of cpu and of a memory that grows; files below their controller. */
export function limitFiles(layout: CgroupLayout, limits: SandboxLimits): [file: string, value: string][] {
  const [quota, memory] = [String(cpuQuota(limits)), String(memoryBytes(limits))]
  if (layout === 'v2') {
    return [
      ['cpu.max', `${quota} ${CPU_PERIOD_US}`],
      ['memory.max', memory],
    ]
  }
  return [
    ['cpu/cpu.cfs_quota_us', quota],
    // Never less than memory alone.
    [SWAP_LIMIT, memory],
    ['memory/memory.limit_in_bytes', memory],
  ]
}
