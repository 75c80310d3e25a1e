import { readFile, writeFile } from 'node:fs/promises'
import type { Logger } from '@atoll/service'

/**
 * Limits of inotify for one user, which the kernel counts over all sandboxes and the host together: with the default (128
 * instances), one sandbox could use them all up, also for root on the host.
 */
const LIMITS = ['/proc/sys/fs/inotify/max_user_instances', '/proc/sys/fs/inotify/max_user_watches']
/** Highest value the kernel takes; each instance and watch counts against the memory limit of its sandbox instead. */
const NO_LIMIT = 2 ** 31 - 1

/**
 * Raises the inotify limits, so that only memory limits of sandboxes bound file watches. The limits stay raised, because that
 * harms no process and others may have come to need them. Returns the reason of a failure, in words.
 */
export async function liftWatchLimits(log: Logger): Promise<string | undefined> {
  try {
    for (const path of LIMITS) {
      const before = Number(await readFile(path, 'utf8'))
      if (before >= NO_LIMIT) continue
      await writeFile(path, String(NO_LIMIT))
      log.info({ path, before, after: NO_LIMIT }, 'raised a limit that sandboxes would share')
    }
    return undefined
  } catch (error) {
    return `sandboxes can use up each other's file watches (${error instanceof Error ? error.message : String(error)})`
  }
}
