import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { CgroupLayout } from './sandbox-cgroups.ts'

/** How long processes may take to freeze, in milliseconds; a process that waits for a device takes longer. */
const FREEZE_DEADLINE_MS = 30_000
const FREEZE_POLL_MS = 5

/** Stops and continues all processes of a cgroup, given its directory. */
export interface CgroupFreezer {
  /** Stops all processes. Throws when not all are frozen in time; then they run on. */
  freeze(directory: string): Promise<void>
  thaw(directory: string): Promise<void>
}

/** Opens the freezer of the unified tree, or the `freezer` controller where each controller has a tree of its own. */
export function openFreezer(layout: CgroupLayout): CgroupFreezer {
  const isUnified = layout === 'v2'
  const [file, frozen, thawed] = isUnified ? ['cgroup.freeze', '1', '0'] : ['freezer.state', 'FROZEN', 'THAWED']
  const thaw = async (directory: string) => {
    await writeFile(join(directory, file), thawed).catch((error: unknown) => {
      // The cgroup is gone: no process is left to continue.
      if (!isGone(error)) throw error
    })
  }
  return {
    thaw,
    freeze: async (directory) => {
      const giveUpAt = performance.now() + FREEZE_DEADLINE_MS
      await writeFile(join(directory, file), frozen)
      while (!(await isFrozen(directory, isUnified))) {
        if (performance.now() > giveUpAt) {
          await thaw(directory)
          throw new Error(`processes of a sandbox did not stand still within ${FREEZE_DEADLINE_MS} ms`)
        }
        await delay(FREEZE_POLL_MS)
      }
    },
  }
}

async function isFrozen(directory: string, isUnified: boolean): Promise<boolean> {
  if (isUnified) return /^frozen 1$/m.test(await readFile(join(directory, 'cgroup.events'), 'latin1'))
  return (await readFile(join(directory, 'freezer.state'), 'latin1')).trim() === 'FROZEN'
}

function isGone(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENODEV')
}
