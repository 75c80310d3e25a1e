import { setTimeout as delay } from 'node:timers/promises'
import type { ProcessIdentity } from '@atoll/service'
import { isAlive } from '@atoll/service'

/** The longest wait for the programs of a killed supervisor, which notice its end and end by themselves, in order. */
const ORPHANS_END_WITHIN_MS = 15_000
const LOOK_EVERY_MS = 50

/** Waits until all orphans have ended; kills those that do not end in time. */
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
