import { lstat, rm, unlink } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'

/** Deletes a file, or a whole directory when `recursive`. A link is deleted, not its target. */
export function createDelete(work: WorkDirectory): Handler<ToolboxOperations['deleteFile']> {
  return async ({ query, queryBytes }) => {
    const given = queryBytes('path')
    const path = work.resolve(given)
    try {
      const stats = await lstat(path)
      if (!stats.isDirectory()) await unlink(path)
      else if (query.recursive) await rm(path, { recursive: true })
      else throw new AppError('INVALID_FILE_PATH', `is a directory: ${given}; say recursive=true to delete it`)
    } catch (error) {
      throw fsError(error, given, 'FILE_WRITE_FAILED')
    }
  }
}
