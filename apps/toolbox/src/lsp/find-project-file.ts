import type { Dirent } from 'node:fs'
import { opendir } from 'node:fs/promises'
import { join } from 'node:path'

/** Entries examined before the search is given up. */
const MAX_ENTRIES = 20_000
const SKIPPED: ReadonlySet<string> = new Set(['node_modules', 'dist', 'build', 'out', 'venv', '__pycache__'])

/** Returns the first file of a project with one of the endings, nearest to its root. Links are not followed. */
export async function findProjectFile(projectDir: string, endings: readonly string[]): Promise<string | undefined> {
  const folders = [projectDir]
  let entries = 0
  for (let folder = folders.shift(); folder !== undefined; folder = folders.shift()) {
    // An unreadable folder is taken for empty.
    const listing = await opendir(folder).catch(() => undefined)
    if (listing === undefined) continue
    for await (const entry of listing) {
      entries += 1
      if (entries > MAX_ENTRIES) return undefined
      const path = join(folder, entry.name)
      if (entry.isFile() && endings.some((ending) => entry.name.endsWith(ending))) return path
      if (isSearched(entry)) folders.push(path)
    }
  }
  return undefined
}

function isSearched(entry: Dirent): boolean {
  return entry.isDirectory() && !entry.name.startsWith('.') && !SKIPPED.has(entry.name)
}
