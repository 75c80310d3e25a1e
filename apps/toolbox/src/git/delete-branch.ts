import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { checkReference } from './git-names.ts'

/** Deletes a branch, merged or not. */
export function createDeleteBranch(git: Git): Handler<ToolboxOperations['deleteBranch']> {
  return async ({ body, signal }) => {
    checkReference(body.name, 'name')
    const repository = await git.open(body.path, signal)
    await repository.run(['branch', '-D', '--', body.name])
    return undefined
  }
}
