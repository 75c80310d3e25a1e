import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { parseStatus } from './parse-status.ts'

/** Returns the branch and the differences. Takes no lock, so that it never blocks another git in the sandbox. */
export function createGitStatus(git: Git): Handler<ToolboxOperations['getGitStatus']> {
  return async ({ queryBytes, signal }) => {
    const repository = await git.open(queryBytes('path'), signal)
    const args = ['status', '--porcelain=v2', '--branch', '-z', '--untracked-files=all', '--find-renames']
    return parseStatus(await repository.run(args, { env: { GIT_OPTIONAL_LOCKS: '0' } }))
  }
}
