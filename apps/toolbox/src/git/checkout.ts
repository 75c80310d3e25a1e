import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { checkRevision } from './git-names.ts'

/** Checks out a branch; a tag or commit is checked out detached. Never checks out a path of that name. */
export function createCheckout(git: Git): Handler<ToolboxOperations['checkoutBranch']> {
  return async ({ body, signal }) => {
    checkRevision(body.branch, 'branch')
    const repository = await git.open(body.path, signal)
    await repository.run(['checkout', body.branch, '--'])
    return undefined
  }
}
