import { lstat, opendir, unlink } from 'node:fs/promises'
import { TEMPORARY_NAME } from './temporary-name.ts'

/** The age from which a temporary file is deleted: a file under way is written more often, or its stalled sender cut off. */
const MIN_AGE_MS = 15 * 60_000
/** Entries looked at in one folder. */
const MAX_ENTRIES = 20_000
/** Folders remembered as swept. */
const MAX_FOLDERS = 1_000

/** Deletes temporary files of uploads that were under way when their toolbox was killed. */
export interface Leftovers {
  /** Deletes old temporary files in a folder, at the first write into it. Never rejects. */
  sweep(folder: Buffer): Promise<void>
}

export function createLeftovers(now: () => number = Date.now): Leftovers {
  const swept = new Set<string>()
  return {
    async sweep(folder) {
      const key = folder.toString('latin1')
      if (swept.has(key)) return
      if (swept.size >= MAX_FOLDERS) swept.clear()
      swept.add(key)
      try {
        await sweepFolder(key, now() - MIN_AGE_MS)
      } catch {
        // The folder is not readable, so its files stay.
      }
    },
  }
}

async function sweepFolder(folder: string, before: number): Promise<void> {
  let seen = 0
  for await (const entry of await opendir(Buffer.from(folder || '/', 'latin1'), { encoding: 'latin1' })) {
    seen += 1
    if (seen > MAX_ENTRIES) return
    if (!entry.isFile() || !TEMPORARY_NAME.test(entry.name)) continue
    const path = Buffer.from(`${folder}/${entry.name}`, 'latin1')
    if ((await lstat(path)).mtimeMs < before) await unlink(path)
  }
}
