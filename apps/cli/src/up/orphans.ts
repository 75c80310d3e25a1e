import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '@atoll/service'
import { isAlive } from '@atoll/service'

/** The programs of a killed supervisor notice and end by themselves, in order; this bounds the wait. */
const ORPHANS_END_WITHIN_MS = 15_000
const LOOK_EVERY_MS = 50

/** Resolves when all have ended; those that do not in time are killed. */
export async function waitForOrphans(orphans: readonly ProcessIdentity[]): Promise<void> {
  const deadline = Date.now() + ORPHANS_END_WITHIN_MS
  let killed = false
  while (orphans.some(isAlive)) {
    if (!killed && Date.now() > deadline) {
      for (const orphan of orphans.filter(isAlive)) process.kill(orphan.pid, 'SIGKILL')
      killed = true
    }
    await delay(LOOK_EVERY_MS)
  }
}
