import { lstat, readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { TreeEntry } from './file-tree.ts'

/** Bounds on the files that are copied from the host's /etc. */
const MAX_FILE_BYTES = 2 * 1024 * 1024
const MAX_TOTAL_BYTES = 32 * 1024 * 1024
const MAX_DEPTH = 5

/**
 * Names in /etc that programs need to find libraries, certificates, time zones, fonts, host names and file types,
 * and no file about this host, its accounts or its access to other systems.
 */
const ALLOWED = [
  /^(alternatives|bash_completion\.d|ca-certificates|fonts|glvnd|ld\.so\.conf\.d|perl|skel|terminfo|OpenCL)$/,
  /^(java-\d+-openjdk|python\d?(\.\d+)?)$/,
  /^(bash\.bashrc|profile|inputrc|shells|login\.defs|localtime|timezone|locale\.(alias|conf)|matplotlibrc)$/,
  /^(mime\.types|magic|magic\.mime|services|protocols|rpc|ethertypes|host\.conf|gai\.conf)$/,
  /^(ld\.so\.cache|ld\.so\.conf|ca-certificates\.conf|mke2fs\.conf)$/,
  /^(os-release|lsb-release|debian_version|alpine-release|arch-release|redhat-release)$/,
]

/** Allowed parts of folders that also hold private files. */
const ALLOWED_BELOW = ['ssl/certs', 'ssl/openssl.cnf', 'pki/tls/certs', 'pki/ca-trust/extracted', 'crypto-policies']

/** Reads the allowed part of the host's /etc. Leaves out files that are not readable by every user, whatever their name. */
export async function readHostEtc(etc: string): Promise<TreeEntry[]> {
  const names = (await readdir(etc)).filter((name) => ALLOWED.some((pattern) => pattern.test(name)))
  const entries: TreeEntry[] = []
  const budget = { bytes: MAX_TOTAL_BYTES }
  for (const name of [...names, ...ALLOWED_BELOW].sort()) await copyEntry({ etc, name, depth: 0, entries, budget })
  return entries
}

interface Copying {
  etc: string
  name: string
  depth: number
  entries: TreeEntry[]
  budget: { bytes: number }
}

async function copyEntry(copying: Copying): Promise<void> {
  const { etc, name, depth, entries, budget } = copying
  const source = join(etc, name)
  const path = join('etc', name)
  const found = await lstat(source).catch(() => undefined)
  if (found === undefined) return
  if (found.isSymbolicLink()) {
    entries.push({ kind: 'link', path, target: await readlink(source) })
  } else if (found.isDirectory() && (found.mode & 0o005) === 0o005 && depth < MAX_DEPTH) {
    entries.push({ kind: 'folder', path, mode: 0o755 })
    for (const child of (await readdir(source)).sort()) {
      await copyEntry({ ...copying, name: join(name, child), depth: depth + 1 })
    }
  } else if (found.isFile() && (found.mode & 0o004) !== 0 && found.size <= Math.min(MAX_FILE_BYTES, budget.bytes)) {
    budget.bytes -= found.size
    entries.push({ kind: 'file', path, mode: found.mode & 0o755, content: await readFile(source) })
  }
}
