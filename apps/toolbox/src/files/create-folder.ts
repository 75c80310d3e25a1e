import { chmod } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'
import { makeFolders } from './make-folders.ts'
import { parseMode } from './octal-mode.ts'

const DEFAULT_MODE = 0o755

/** Creates a directory and its parents. `mode` is set on a new directory, whatever the umask; an existing one keeps its own. */
export function createCreateFolder(work: WorkDirectory): Handler<ToolboxOperations['createFolder']> {
  return async ({ query, queryBytes }) => {
    const mode = parseMode(query.mode) ?? DEFAULT_MODE
    const given = queryBytes('path')
    const path = work.resolve(given)
    try {
      if (await makeFolders(path)) await chmod(path, mode)
    } catch (error) {
      throw fsError(error, given, 'FILE_WRITE_FAILED')
    }
  }
}
