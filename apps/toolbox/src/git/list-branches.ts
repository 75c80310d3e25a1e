import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { currentBranch } from './head.ts'

/** Returns the local branches, sorted, and the one that is checked out. */
export function createListBranches(git: Git): Handler<ToolboxOperations['listBranches']> {
  return async ({ queryBytes, signal }) => {
    const repository = await git.open(queryBytes('path'), signal)
    const listed = await repository.run(['for-each-ref', '--format=%(refname:lstrip=2)', 'refs/heads'])
    const branches = listed.split('\n').filter((name) => name !== '')
    return { branches, current: (await currentBranch(repository)) ?? '' }
  }
}
