import { readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'

const CGROUPS = '/sys/fs/cgroup'

/** Returns the first of these files of the sandbox's own control groups that exists. */
export async function readCgroup(...names: string[]): Promise<string | undefined> {
  for (const name of names) {
    const text = await readFile(`${CGROUPS}/${name}`, 'utf8').catch(() => undefined)
    if (text !== undefined) return text
  }
  return undefined
}

/** Returns how many cores the sandbox may use, perhaps a fraction. */
export async function cpuLimit(): Promise<number> {
  const [quota, period] = (await readCgroup('cpu.max'))?.trim().split(' ') ?? [
    await readCgroup('cpu/cpu.cfs_quota_us', 'cpu,cpuacct/cpu.cfs_quota_us'),
    await readCgroup('cpu/cpu.cfs_period_us', 'cpu,cpuacct/cpu.cfs_period_us'),
  ]
  const cores = Number(quota) / Number(period)
  return cores > 0 && Number.isFinite(cores) ? Math.min(cores, availableParallelism()) : availableParallelism()
}
