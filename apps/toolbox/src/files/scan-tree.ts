import { inLanes } from './in-lanes.ts'
import type { Finder } from './literal.ts'
import { SCAN_BYTES, scanFoundFile } from './scan-file.ts'
import type { LineMatch } from './text-match.ts'
import { walkTree } from './walk-tree.ts'

/** Files read side by side: enough to keep Node's four file threads busy. */
const LANES = 16

export interface FilesScan {
  /** Latin1, one character a byte. */
  files: AsyncIterable<readonly string[]>
  finder: Finder
  signal: AbortSignal
  /** Path → last line that is told: what it has is left out, and it learns what is told. */
  told: Map<string, number>
}

/** The matching lines of all regular files below a folder, by Node alone. What cannot be read is left out. */
export function scanTree(scan: Omit<FilesScan, 'files'> & { start: string }): AsyncGenerator<LineMatch[]> {
  return scanFiles({ ...scan, files: filesBelow(scan.start, scan.signal) })
}

/** The same of files that were found. */
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

/** For one scan at a time: the text looked for may straddle two reads. */
export function scanBuffer(finder: Finder): Buffer {
  return Buffer.allocUnsafeSlow(SCAN_BYTES + finder.length)
}
