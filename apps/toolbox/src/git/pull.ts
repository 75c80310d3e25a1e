import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git, Repository } from './git.ts'
import { remoteBranch } from './remote.ts'

/**
 * Fetches a branch and merges it. A conflict throws GIT_MERGE_CONFLICT and stays in the working tree, to be resolved and
 * committed, or reset.
 */
export function createPull(git: Git): Handler<ToolboxOperations['pullChanges']> {
  return async ({ body, signal }) => {
    const repository = await git.open(body.path, signal)
    const { remote, branch, named, credentials } = await remoteBranch(repository, body, 'fetch')
    const from = (named ? undefined : await upstreamOf(repository, branch, remote)) ?? `refs/heads/${branch}`
    const how = ['--no-rebase', '--no-edit', '--no-recurse-submodules', '--progress']
    await repository.run(['pull', ...how, remote, from], { credentials, talksToRemote: true })
    return undefined
  }
}

/** Returns the branch that a branch follows, if it is at this remote. */
async function upstreamOf(repository: Repository, branch: string, remote: string): Promise<string | undefined> {
  const read = async (key: string) => {
    const { exitCode, stdout } = await repository.attempt(['config', '--get', `branch.${branch}.${key}`])
    return exitCode === 0 ? stdout.replace(/\n$/, '') : undefined
  }
  return (await read('remote')) === remote ? read('merge') : undefined
}
