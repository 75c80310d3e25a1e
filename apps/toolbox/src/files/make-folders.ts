import { mkdir } from 'node:fs/promises'
import { errnoOf } from './fs-error.ts'
import { parentOf } from './temporary-name.ts'

/** Makes a folder and the parents that it lacks; returns whether it was missing. Throws the file system's error. */
export async function makeFolders(path: Buffer): Promise<boolean> {
  try {
    return (await mkdir(path, { recursive: true })) !== undefined
  } catch (error) {
    // Node reports a full disk as ENOENT too; without `recursive`, each step says why it fails.
    if (errnoOf(error) !== 'ENOENT') throw error
    await makeOneByOne(path)
    return true
  }
}

async function makeOneByOne(path: Buffer): Promise<void> {
  try {
    await mkdir(path)
  } catch (error) {
    const errno = errnoOf(error)
    const parent = parentOf(path)
    if (errno === 'EEXIST') return
    if (errno !== 'ENOENT' || parent.length === 0) throw error
    await makeOneByOne(parent)
    await mkdir(path)
  }
}
