import { chmod, mkdir } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { fsError } from './fs-error.ts'

const DEFAULT_MODE = 0o755
const OCTAL_MODE = /^(0o?)?[0-7]{1,4}$/

/** Creates a directory and its parents. `mode` is the new directory's own, whatever the umask; one that exists keeps its. */
export function createCreateFolder(work: WorkDirectory): Handler<ToolboxOperations['createFolder']> {
  return async ({ query, queryBytes }) => {
    const mode = parseMode(query.mode)
    const given = queryBytes('path')
    const path = work.resolve(given)
    try {
      const firstCreated = await mkdir(path, { recursive: true })
      if (firstCreated !== undefined) await chmod(path, mode)
    } catch (error) {
      throw fsError(error, given, 'FILE_WRITE_FAILED')
    }
  }
}

function parseMode(text: string | undefined): number {
  if (text === undefined || text === '') return DEFAULT_MODE
  if (!OCTAL_MODE.test(text)) {
    throw new AppError('VALIDATION_FAILED', 'query: mode must be an octal number such as 755')
  }
  return Number.parseInt(text.replace('o', ''), 8)
}
