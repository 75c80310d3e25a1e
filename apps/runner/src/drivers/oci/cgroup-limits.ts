import type { SandboxLimits } from '@atoll/protocol'
import type { CgroupLayout } from './sandbox-cgroups.ts'

const GIB = 1024 ** 3
/** The kernel shares out cpu time in periods of this many microseconds, and takes no quota below 1,000. */
export const CPU_PERIOD_US = 100_000
const MIN_CPU_QUOTA_US = 1_000
/** File of the limit of memory and swap together; not every kernel has it. */
export const SWAP_LIMIT = 'memory/memory.memsw.limit_in_bytes'

/** Returns the cpu time that a sandbox may use of each period, in microseconds. */
export function cpuQuota({ cpu }: Pick<SandboxLimits, 'cpu'>): number {
  return Math.max(MIN_CPU_QUOTA_US, Math.round(cpu * CPU_PERIOD_US))
}

export function memoryBytes({ memoryGiB }: Pick<SandboxLimits, 'memoryGiB'>): number {
  return Math.floor(memoryGiB * GIB)
}

/** Returns the files to write, in order, to change the cpu limit and raise the memory limit; v1 files below their controller. */
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
    // The limit of memory and swap comes first: it may never be below the limit of memory alone.
    [SWAP_LIMIT, memory],
    ['memory/memory.limit_in_bytes', memory],
  ]
}
