import { statSync } from 'node:fs'
import { join } from 'node:path'
import { linkedDisks, poolOf } from './audit-pool.ts'
import { readText } from './host-paths.ts'
import type { SandboxRow } from './system-rows.ts'

const GIB = 1024 ** 3
const CGROUP_ROOT = '/sys/fs/cgroup'
/** The kernel's period of cpu time, in microseconds, of which a sandbox has so much for each of its processors. */
const PERIOD_US = 100_000

/** What the kernel allows each sandbox that runs, against its row. One line for each fault. */
export function auditLimits(instance: string, running: readonly SandboxRow[]): string[] {
  return running.flatMap(({ id, cpu, memoryGib }) => [
    ...unlike(`quota of ${id}`, quotaOf(instance, id), String(cpu * PERIOD_US)),
    ...unlike(`memory of ${id}`, memoryOf(instance, id), String(memoryGib * GIB)),
  ])
}

/** Sizes of disks against their rows: no less, as one may have grown before its change failed. One line for each fault. */
export function auditDiskSizes(
  { sandboxes, runnerPid }: { sandboxes: string; runnerPid: number | undefined },
  rows: readonly SandboxRow[],
): string[] {
  const pool = runnerPid === undefined ? undefined : poolOf(runnerPid)
  const inPool = new Map([...linkedDisks(sandboxes)].map(([name, id]) => [id, name]))
  return rows.flatMap(({ id, diskGib }) => {
    const name = inPool.get(id)
    const image = name === undefined || pool === undefined ? join(sandboxes, id, 'disk.img') : join(pool, name)
    const bytes = statSync(image, { throwIfNoEntry: false })?.size ?? 0
    return bytes >= diskGib * GIB ? [] : [`the disk of ${id} has ${bytes} bytes of ${diskGib} GiB`]
  })
}

function unlike(what: string, found: string, wanted: string): string[] {
  return found === wanted ? [] : [`the ${what} is "${found}" and should be ${wanted}`]
}

/** Of cgroups v2 or v1, whichever there is; nothing where there is neither. */
function quotaOf(instance: string, id: string): string {
  const [quota = ''] = readText(join(CGROUP_ROOT, `atoll-${instance}`, id, 'cpu.max')).split(' ')
  return quota || readText(join(CGROUP_ROOT, 'cpu', `atoll-${instance}`, id, 'cpu.cfs_quota_us')).trim()
}

function memoryOf(instance: string, id: string): string {
  const memory = readText(join(CGROUP_ROOT, `atoll-${instance}`, id, 'memory.max')).trim()
  return memory || readText(join(CGROUP_ROOT, 'memory', `atoll-${instance}`, id, 'memory.limit_in_bytes')).trim()
}
