import type { Stats } from 'node:fs'
import { realpath } from 'node:fs/promises'
import type { FileInfo } from '@atoll/protocol'

const PERMISSION_BITS = 0o7777
const RWX = ['---', '--x', '-w-', '-wx', 'r--', 'r-x', 'rw-', 'rwx']

/** Returns the contract's view of one file. owner and group are numeric ids; bytes of the path that are not UTF-8 are lost. */
export function describeStats(name: string, path: Buffer, stats: Stats): FileInfo {
  const modified = stats.mtime.toISOString()
  return {
    name,
    path: path.toString(),
    size: stats.size,
    mode: modeString(stats),
    modTime: modified,
    modifiedAt: modified,
    isDir: stats.isDirectory(),
    owner: String(stats.uid),
    group: String(stats.gid),
    permissions: (stats.mode & PERMISSION_BITS).toString(8).padStart(4, '0'),
  }
}

/** Returns the base name of an existing path; `/` for the root. Bytes that are not UTF-8 become U+FFFD. */
export async function baseName(path: Buffer): Promise<string> {
  const name = lastComponent(path.toString('latin1'))
  if (name !== '' && name !== '.' && name !== '..') return Buffer.from(name, 'latin1').toString()
  const real = lastComponent(await realpath(path, 'latin1'))
  return real === '' ? '/' : Buffer.from(real, 'latin1').toString()
}

function lastComponent(path: string): string {
  const trimmed = path.replace(/\/+$/, '')
  return trimmed.slice(trimmed.lastIndexOf('/') + 1)
}

/** Returns a mode as Go prints it: one letter for each special property, then three permission triads. */
function modeString(stats: Stats): string {
  const triads = [6, 3, 0].map((shift) => RWX[(stats.mode >> shift) & 7]).join('')
  return `${typeLetters(stats) || '-'}${triads}`
}

function typeLetters(stats: Stats): string {
  const letters: [boolean, string][] = [
    [stats.isDirectory(), 'd'],
    [stats.isSymbolicLink(), 'L'],
    [stats.isBlockDevice() || stats.isCharacterDevice(), 'D'],
    [stats.isFIFO(), 'p'],
    [stats.isSocket(), 'S'],
    [(stats.mode & 0o4000) !== 0, 'u'],
    [(stats.mode & 0o2000) !== 0, 'g'],
    [stats.isCharacterDevice(), 'c'],
    [(stats.mode & 0o1000) !== 0, 't'],
  ]
  return letters.flatMap(([is, letter]) => (is ? [letter] : [])).join('')
}
