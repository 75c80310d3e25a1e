import { randomBytes } from 'node:crypto'

/** Matches the names of temporary files. */
export const TEMPORARY_NAME = /^\.atoll-[0-9a-f]{16}\.part$/

/** Returns a free name in the folder of `path`, so that renaming it into place stays on one device. */
export function temporaryBeside(path: Buffer): Buffer {
  return Buffer.concat([parentOf(path), Buffer.from(`/.atoll-${randomBytes(8).toString('hex')}.part`)])
}

/** Returns the path without its last component; the empty path for `/` and for entries of `/`. */
export function parentOf(path: Buffer): Buffer {
  let end = path.length
  while (end > 1 && path[end - 1] === SLASH) end -= 1
  const slash = path.lastIndexOf(SLASH, end - 1)
  return path.subarray(0, Math.max(slash, 0))
}

const SLASH = 0x2f
