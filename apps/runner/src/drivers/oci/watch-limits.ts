import { readFile, writeFile } from 'node:fs/promises'
import type { Logger } from '@atoll/service'

/**
 * What one user may hold of inotify, which the kernel counts over all sandboxes and the host together: left at
 * its default (128 instances), one sandbox takes them all, root's of the host among them.
 */
const LIMITS = ['/proc/sys/fs/inotify/max_user_instances', '/proc/sys/fs/inotify/max_user_watches']
/** The most the kernel takes; each instance and watch counts against the memory limit of its sandbox instead. */
const NO_LIMIT = 2 ** 31 - 1

/**
 * Leaves the bounding of file watches to the memory limits of sandboxes. Higher limits hurt nobody and others may
 * have come to need them, so they stay. Returns why it could not, in words.
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
