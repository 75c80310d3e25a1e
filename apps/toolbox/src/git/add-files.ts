import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { FROM_STDIN, pathList } from './path-list.ts'

/** Stages files, also deleted ones; `.` is everything. */
export function createAddFiles(git: Git): Handler<ToolboxOperations['addGitFiles']> {
  return async ({ body, signal }) => {
    const input = pathList(body.files)
    const repository = await git.open(body.path, signal)
    // An empty list must not mean everything.
    if (body.files.length === 0) await repository.run(['rev-parse', '--git-dir'])
    else await repository.run(['add', '--all', ...FROM_STDIN], { input })
    return undefined
  }
}
