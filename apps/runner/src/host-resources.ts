import { statfs } from 'node:fs/promises'
import { availableParallelism, totalmem } from 'node:os'
import type { RunnerInfo } from '@atoll/protocol'
import type { SandboxDriver } from './drivers/driver.ts'
import { version } from './version.ts'

const GIB = 1024 ** 3

/** Returns the facts of this runner and its host that the API is told; the disk is the one that `dataDir` is on. */
export async function readRunnerInfo(driver: SandboxDriver, dataDir: string): Promise<RunnerInfo> {
  const disk = await statfs(dataDir)
  const snapshots = await driver.snapshots.list()
  return {
    version,
    driver: driver.name,
    runtime: driver.info.runtime,
    limitations: driver.info.limitations,
    cpu: availableParallelism(),
    memoryGiB: totalmem() / GIB,
    diskGiB: (disk.blocks * disk.bsize) / GIB,
    snapshots: snapshots.filter(({ state }) => state === 'active').map(({ ref }) => ref),
    abilities: driver.info.abilities,
  }
}
