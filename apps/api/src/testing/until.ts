import { setTimeout as delay } from 'node:timers/promises'

const POLL_MS = 10
/** A deadline far above any expected wait, so that a busy machine changes no result. */
const DEADLINE_MS = 60_000

/** Polls until `isTrue` returns true, for changes that send no event. Throws when that takes longer than 60 s. */
export async function until(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`still not so after ${DEADLINE_MS / 1000} s: ${what}`)
    await delay(POLL_MS)
  }
}
