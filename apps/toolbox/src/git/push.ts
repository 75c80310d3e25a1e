import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git, Repository } from './git.ts'
import { withoutSecrets } from './git-credentials.ts'
import { gist, gitError } from './git-error.ts'
import type { GitResult } from './git-process.ts'
import { remoteBranch } from './remote.ts'
import { findCommit } from './revision.ts'

/** Matches a refused reference in the output of `push --porcelain`: `!<tab>from:to<tab>[remote rejected] (why)`. */
const REFUSED = /^!\t[^\t]*\t\[(remote )?(?:rejected|failure)\](?: \((.*)\))?$/m

/** Pushes a branch to the one of the same name, never by force. */
export function createPush(git: Git): Handler<ToolboxOperations['pushChanges']> {
  return async ({ body, signal }) => {
    const repository = await git.open(body.path, signal)
    const { remote, branch, credentials } = await remoteBranch(repository, body, 'push')
    const how = ['--porcelain', '--progress', ...(body.set_upstream ? ['--set-upstream'] : [])]
    const args = ['push', ...how, remote, `refs/heads/${branch}:refs/heads/${branch}`]
    const result = await repository.attempt(args, { credentials, talksToRemote: true })
    if (result.exitCode === 0) {
      if (body.set_upstream) await track(repository, remote, branch)
      return undefined
    }
    const error = refusal(result, branch) ?? gitError(result, 'push', credentials)
    throw new AppError(error.code, withoutSecrets(error.message, credentials))
  }
}

/**
 * Adds the pushed branch to those that are fetched: a clone of one branch fetches no other, and git does not compare a
 * branch with an upstream that it does not fetch.
 */
async function track(repository: Repository, remote: string, branch: string): Promise<void> {
  if ((await findCommit(repository, `${branch}@{upstream}`)) !== undefined) return
  await repository.run(['remote', 'set-branches', '--add', remote, branch])
  await repository.run(['update-ref', `refs/remotes/${remote}/${branch}`, `refs/heads/${branch}`])
}

function refusal({ stdout, stderr }: GitResult, branch: string): AppError | undefined {
  const refused = REFUSED.exec(stdout)
  if (refused === null) return undefined
  const [, byRemote, why = 'no reason given'] = refused
  if (byRemote === undefined)
    return new AppError('GIT_PUSH_REJECTED', `the push of ${branch} was rejected: ${why}; pull first`)
  const words = gist(stderr)
  return new AppError('GIT_REMOTE_REJECTED', `the remote refused ${branch}: ${why}${words === '' ? '' : `\n${words}`}`)
}
