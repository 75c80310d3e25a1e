import { existsSync, readdirSync, readFileSync } from 'node:fs'

/** What a folder holds; nothing where it is not there. */
export function names(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

/** The text of a file; none of one that goes while it is looked at. */
export function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    // It went while we looked, or is of another kind.
    return ''
  }
}
