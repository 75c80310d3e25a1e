import { constants } from 'node:fs'
import { access } from 'node:fs/promises'
import { delimiter, isAbsolute, join } from 'node:path'

/** The most folders of a PATH that are looked into. */
const MAX_PATH_FOLDERS = 64

/** Returns the path of a program along a PATH, in its absolute folders, or undefined. */
export async function findProgram(name: string, path: string): Promise<string | undefined> {
  for (const folder of path.split(delimiter, MAX_PATH_FOLDERS)) {
    const file = join(folder, name)
    if (isAbsolute(folder) && (await isExecutable(file))) return file
  }
  return undefined
}

/** Returns whether a file may be executed; false on a file system mounted noexec. */
export function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}
