import { statfs } from 'node:fs/promises'
import { totalmem } from 'node:os'
import type { SystemMetrics } from '@atoll/protocol'
import { cpuLimit, readCgroup } from '../cgroup.ts'

/** Cpu use is measured between two readings, this far apart at least and at most, in milliseconds. */
const MIN_SPAN_MS = 200
const MAX_SPAN_MS = 60_000
/** Control groups v1 say "no limit" with a number near 2⁶³. */
const NO_LIMIT_BYTES = 2 ** 60

interface CpuLook {
  usedMs: number
  atMs: number
}

/** Reads what the sandbox uses, from its own control groups; `now` is in milliseconds since the epoch. */
export function createSystemMetrics(now: () => number = Date.now): () => Promise<SystemMetrics> {
  let last: CpuLook | undefined
  let looking: Promise<number> | undefined

  /** Returns the cpu use in cores. Two calls at once share one measurement. */
  async function usedCores(): Promise<number> {
    let before = last
    if (before === undefined || performance.now() - before.atMs > MAX_SPAN_MS) before = await lookAtCpu()
    const restMs = MIN_SPAN_MS - (performance.now() - before.atMs)
    if (restMs > 0) await new Promise((resolve) => setTimeout(resolve, restMs))
    const after = await lookAtCpu()
    last = after
    return Math.max(0, (after.usedMs - before.usedMs) / (after.atMs - before.atMs))
  }

  return async () => {
    looking ??= usedCores().finally(() => {
      looking = undefined
    })
    const [cores, cpuCount, memory, disk] = await Promise.all([looking, cpuLimit(), memoryUse(), statfs('/')])
    const at = now()
    return {
      cpuCount,
      cpuUsedPct: Math.min(100, Math.round((cores / cpuCount) * 10_000) / 100),
      ...memory,
      diskTotal: disk.blocks * disk.bsize,
      diskUsed: (disk.blocks - disk.bfree) * disk.bsize,
      diskFree: disk.bavail * disk.bsize,
      timestamp: new Date(at).toISOString(),
      timestampUnix: Math.floor(at / 1000),
    }
  }
}

async function lookAtCpu(): Promise<CpuLook> {
  const v2 = field(await readCgroup('cpu.stat'), 'usage_usec')
  const v1 =
    v2 === undefined ? Number(await readCgroup('cpuacct/cpuacct.usage', 'cpu,cpuacct/cpuacct.usage')) : Number.NaN
  const usedMs = v2 === undefined ? v1 / 1e6 : v2 / 1e3
  return { usedMs: Number.isFinite(usedMs) ? usedMs : 0, atMs: performance.now() }
}

async function memoryUse(): Promise<Pick<SystemMetrics, 'memTotal' | 'memUsed' | 'memCache'>> {
  const limit = Number((await readCgroup('memory.max', 'memory/memory.limit_in_bytes')) ?? Number.NaN)
  const current = Number((await readCgroup('memory.current', 'memory/memory.usage_in_bytes')) ?? 0)
  const stat = await readCgroup('memory.stat', 'memory/memory.stat')
  const memCache = field(stat, 'total_cache') ?? field(stat, 'file') ?? field(stat, 'cache') ?? 0
  return {
    memTotal: limit > 0 && limit < NO_LIMIT_BYTES ? limit : totalmem(),
    memUsed: Math.max(0, current - memCache),
    memCache,
  }
}

function field(text: string | undefined, name: string): number | undefined {
  const value = new RegExp(`^${name} (\\d+)$`, 'm').exec(text ?? '')?.[1]
  return value === undefined ? undefined : Number(value)
}
