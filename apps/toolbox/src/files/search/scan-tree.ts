import type { Finder } from '../literal.ts'
import { walkTree } from '../walk-tree.ts'
import { inLanes } from './in-lanes.ts'
import { SCAN_BYTES, scanFoundFile } from './scan-file.ts'
import type { LineMatch } from './text-match.ts'

/** Files read side by side: enough to keep Node's four file threads busy. */
const LANES = 16

export interface FilesScan {
  /** Paths in Latin1, one character a byte. */
  files: AsyncIterable<readonly string[]>
  finder: Finder
  signal: AbortSignal
  /** Path → the last line reported: lines up to it are left out, and each line found is recorded. */
  told: Map<string, number>
}

/** Yields the matching lines of all regular files below a folder, by Node alone. Unreadable files are left out. */
export function scanTree(scan: Omit<FilesScan, 'files'> & { start: string }): AsyncGenerator<LineMatch[]> {
  return scanFiles({ ...scan, files: filesBelow(scan.start, scan.signal) })
}

/** Yields the matching lines of the given files. */
export async function* scanFiles({ files, finder, signal, told }: FilesScan): AsyncGenerator<LineMatch[]> {
  const lanes = Array.from({ length: LANES }, () => scanBuffer(finder))
  yield* inLanes<Buffer, string, LineMatch[]>({
    items: files,
    lanes,
    async work(path, buffer, emit) {
      signal.throwIfAborted()
      const after = told.get(path) ?? 0
      await scanFoundFile({ path, finder, buffer, signal, after }, (matches) => {
        told.set(path, matches.at(-1)?.line ?? 0)
        return emit(matches)
      })
    },
  })
}

async function* filesBelow(start: string, signal: AbortSignal): AsyncGenerator<string[]> {
  for await (const batch of walkTree(start, signal)) {
    yield batch.filter(({ entry }) => entry.isFile()).map(({ path }) => path)
  }
}

/** Returns a buffer for one scan at a time; it has room for a text that straddles two reads. */
export function scanBuffer(finder: Finder): Buffer {
  return Buffer.allocUnsafeSlow(SCAN_BYTES + finder.length)
}
