import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** Reads a file as UTF-8; returns undefined if there is no such file. */
export function readTextIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** Writes a file atomically, readable by its owner only; leaves no partial file when it throws. */
export function writeWhole(path: string, text: string): void {
  const partial = join(dirname(path), `.${randomBytes(6).toString('hex')}.partial`)
  try {
    writeFileSync(partial, text, { mode: 0o600, flush: true })
    renameSync(partial, path)
  } catch (error) {
    // A part of the file may have been written before the disk was full.
    rmSync(partial, { force: true })
    throw error
  }
}
