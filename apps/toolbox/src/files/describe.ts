import { stat } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { baseName, describeStats } from './file-info.ts'
import { fsError } from './fs-error.ts'

/** Describes one file or directory; links are followed. */
export function createDescribe(work: WorkDirectory): Handler<ToolboxOperations['getFileInfo']> {
  return async ({ queryBytes }) => {
    const given = queryBytes('path')
    const path = work.resolve(given)
    try {
      return describeStats(await baseName(path), path, await stat(path))
    } catch (error) {
      throw fsError(error, given, 'FILE_READ_FAILED')
    }
  }
}
