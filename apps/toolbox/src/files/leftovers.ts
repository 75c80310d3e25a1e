import { lstat, opendir, unlink } from 'node:fs/promises'
import { TEMPORARY_NAME } from './temporary-name.ts'

/** A file still written to is touched more often than this: a sender that stalls is given up before. */
const MIN_AGE_MS = 15 * 60_000
/** Entries looked through in one folder. */
const MAX_ENTRIES = 20_000
/** Folders remembered as looked through. */
const MAX_FOLDERS = 1_000

/** Clears away what uploads have left whose toolbox was killed in the middle of them. */
export interface Leftovers {
  /** Looks through a folder, at the first write into it, for old temporary files. Never rejects. */
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
        // Not readable: then it stays as it is.
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
