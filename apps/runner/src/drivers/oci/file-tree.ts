import { createHash, randomUUID } from 'node:crypto'
import { chmod, chown, lchown, mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { isThere } from '../../files.ts'

/** One entry of a tree to be written; `path` is relative and its folder is made when no entry names it. */
export type TreeEntry =
  | { kind: 'folder'; path: string; mode: number; owner?: number }
  | { kind: 'file'; path: string; mode: number; content: string | Uint8Array; owner?: number }
  | { kind: 'link'; path: string; target: string; owner?: number }

/**
 * Writes a tree into `<folder>/<name>-<hash of the tree>` and returns that path. An existing tree is left as it is, so that
 * sandboxes that use it see no change; the rename at the end makes it whole or absent.
 */
export async function writeTree(folder: string, name: string, entries: readonly TreeEntry[]): Promise<string> {
  const target = join(folder, `${name}-${hashTree(entries)}`)
  await writeOnce(target, async (draft) => {
    await writeEntries(draft, entries)
  })
  return target
}

/** Makes `target` through a draft beside it, unless it is there. `write` is given the draft's path. */
export async function writeOnce(target: string, write: (draft: string) => Promise<void>): Promise<void> {
  if (await isThere(target)) return
  const draft = `${target}.draft-${randomUUID()}`
  try {
    await write(draft)
    await rename(draft, target)
  } catch (error) {
    await rm(draft, { recursive: true, force: true })
    throw error
  }
}

function hashTree(entries: readonly TreeEntry[]): string {
  const hash = createHash('sha256')
  for (const entry of entries) {
    const content = entry.kind === 'file' ? entry.content : entry.kind === 'link' ? entry.target : ''
    const { kind, path, owner = 0 } = entry
    hash.update(JSON.stringify([kind, path, owner, entry.kind === 'link' ? 0 : entry.mode, content.length]))
    hash.update(content)
  }
  return hash.digest('hex').slice(0, 16)
}

/** Writes a tree into a folder, over the files there. */
export async function writeEntries(root: string, entries: readonly TreeEntry[]): Promise<void> {
  await mkdir(root, { recursive: true })
  await chmod(root, 0o755)
  for (const entry of entries) await writeEntry(root, entry)
}

async function writeEntry(root: string, entry: TreeEntry): Promise<void> {
  const path = join(root, entry.path)
  await mkdir(dirname(path), { recursive: true, mode: 0o755 })
  const owner = entry.owner ?? 0
  if (entry.kind === 'link') {
    await symlink(entry.target, path)
    await lchown(path, owner, owner)
    return
  }
  if (entry.kind === 'folder') await mkdir(path, { recursive: true })
  else await writeFile(path, entry.content)
  await chown(path, owner, owner)
  // The process's umask changes the modes that mkdir and writeFile are given.
  await chmod(path, entry.mode)
}
