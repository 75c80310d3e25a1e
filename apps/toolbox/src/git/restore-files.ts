import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { FROM_STDIN, pathList } from './path-list.ts'
import { resolveCommit } from './revision.ts'

/** Undoes changes of files, in the working tree, in what is staged, or in both. */
export function createRestoreFiles(git: Git): Handler<ToolboxOperations['restoreFiles']> {
  return async ({ body, signal }) => {
    const { files, source } = body
    const staged = body.staged ?? false
    const worktree = body.worktree ?? !staged
    if (files.length === 0) throw new AppError('VALIDATION_FAILED', 'body: files must not be empty')
    if (!staged && !worktree) throw new AppError('VALIDATION_FAILED', 'body: staged or worktree must be true')
    const input = pathList(files)
    const repository = await git.open(body.path, signal)
    const options = [
      ...(staged ? ['--staged'] : []),
      ...(worktree ? ['--worktree'] : []),
      ...(source ? [`--source=${await resolveCommit(repository, source, 'source')}`] : []),
    ]
    await repository.run(['restore', ...options, ...FROM_STDIN], { input })
    return undefined
  }
}
