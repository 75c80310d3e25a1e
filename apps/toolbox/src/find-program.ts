import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'

/** Folders of a PATH that are looked into. */
const MAX_PATH_FOLDERS = 64

/** Where a program lies along a PATH, in its absolute folders; undefined where it does not. */
export async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter, MAX_PATH_FOLDERS)) {
    const file = join(folder, name)
    if (isAbsolute(folder) && (await isExecutable(file))) return file
  }
  return undefined
}

/** Also false for what lies on a file system mounted noexec. */
export function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
