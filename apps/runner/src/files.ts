import { randomUUID } from 'node:crypto'
import { access, open, rename } from 'node:fs/promises'
import { dirname } from 'node:path'

/** Returns true when the path leads to a file or folder that this process may look at. */
export function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}

/** Replaces a file as a whole: after a crash or a power cut it holds the old content or the new one. */
export async function writeFileWhole(path: string, content: string, mode = 0o600): Promise<void> {
  const draft = `${path}.draft-${randomUUID()}`
  await using file = await open(draft, 'wx', mode)
  await file.writeFile(content)
  await file.sync()
  await rename(draft, path)
  await flushFolder(dirname(path))
}

/** Flushes the names in a folder to disk, so that a power cut does not undo a rename. */
export async function flushFolder(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}
