import { AppError } from '@atoll/protocol'
import type { Repository } from './git.ts'
import type { GitCredentials } from './git-credentials.ts'
import { credentialsFor } from './git-credentials.ts'
import { checkReference } from './git-names.ts'
import { currentBranch } from './head.ts'

const DEFAULT_REMOTE = 'origin'

/** A request to pull or push: the remote, the branch and the credentials. */
export interface RemoteRequest {
  readonly remote?: string
  readonly branch?: string
  readonly username?: string
  readonly password?: string
}

export interface RemoteBranch {
  readonly remote: string
  /** The local name of the branch. */
  readonly branch: string
  /** Whether the caller named the branch. */
  readonly named: boolean
  readonly credentials: GitCredentials | undefined
}

/** Finds remote and branch. Throws GIT_REMOTE_NOT_FOUND, and VALIDATION_FAILED if HEAD is detached and no branch is named. */
export async function remoteBranch(
  repository: Repository,
  request: RemoteRequest,
  direction: 'fetch' | 'push',
): Promise<RemoteBranch> {
  const remote = request.remote || DEFAULT_REMOTE
  checkReference(remote, 'remote')
  if (request.branch) checkReference(request.branch, 'branch')
  const url = await repository.run(['remote', 'get-url', ...(direction === 'push' ? ['--push'] : []), remote])
  const credentials = credentialsFor(url.replace(/\n$/, ''), request)
  const branch = request.branch || (await currentBranch(repository))
  if (branch === undefined) throw new AppError('VALIDATION_FAILED', 'HEAD is detached: say which branch')
  return { remote, branch, named: Boolean(request.branch), credentials }
}
