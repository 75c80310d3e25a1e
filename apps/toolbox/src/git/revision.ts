import { AppError } from '@atoll/protocol'
import type { Repository } from './git.ts'
import { gitError } from './git-error.ts'
import { checkRevision } from './git-names.ts'

/** The commit that a branch, tag or other revision means; undefined when there is none. */
export async function findCommit(repository: Repository, revision: string): Promise<string | undefined> {
  const result = await repository.attempt(['rev-parse', '--verify', '--quiet', `${revision}^{commit}`])
  if (result.exitCode === 0) return result.stdout.trim()
  // Without a repository that is what is wrong; else there are words only where the revision is no such thing.
  const error = gitError(result, 'rev-parse')
  if (error.code !== 'GIT_FAILED' && error.code !== 'GIT_BRANCH_NOT_FOUND') throw error
  return undefined
}

/** The same, for what a caller named. Throws GIT_REF_NOT_FOUND. */
export async function resolveCommit(repository: Repository, revision: string, field: string): Promise<string> {
  checkRevision(revision, `body: ${field}`)
  const commit = await findCommit(repository, revision)
  if (commit === undefined) throw new AppError('GIT_REF_NOT_FOUND', `no commit, branch or tag is named ${revision}`)
  return commit
}
