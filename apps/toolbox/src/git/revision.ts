import { AppError } from '@atoll/protocol'
import type { Repository } from './git.ts'
import { gitError } from './git-error.ts'
import { checkRevision } from './git-names.ts'

/** Returns the commit that a branch, tag or other revision names; undefined when there is none. */
export async function findCommit(repository: Repository, revision: string): Promise<string | undefined> {
  const result = await repository.attempt(['rev-parse', '--verify', '--quiet', `${revision}^{commit}`])
  if (result.exitCode === 0) return result.stdout.trim()
  // A missing repository, for one, is thrown. For an unknown revision git writes nothing, or that it is unknown.
  const error = gitError(result, 'rev-parse')
  if (error.code !== 'GIT_FAILED' && error.code !== 'GIT_BRANCH_NOT_FOUND') throw error
  return undefined
}

/** Returns the commit for a revision that a caller named. Throws GIT_REF_NOT_FOUND. */
export async function resolveCommit(repository: Repository, revision: string, field: string): Promise<string> {
  checkRevision(revision, `body: ${field}`)
  const commit = await findCommit(repository, revision)
  if (commit === undefined) throw new AppError('GIT_REF_NOT_FOUND', `no commit, branch or tag is named ${revision}`)
  return commit
}
