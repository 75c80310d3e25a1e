import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { checkReference } from './git-names.ts'

/** Makes a branch at HEAD and checks it out; in a repository without commits, the first one will be on it. */
export function createCreateBranch(git: Git): Handler<ToolboxOperations['createBranch']> {
  return async ({ body, signal }) => {
    checkReference(body.name, 'name')
    const repository = await git.open(body.path, signal)
    await repository.run(['checkout', '-b', body.name, '--no-track'])
    return undefined
  }
}
