import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { gist, gitError } from './git-error.ts'
import { checkArgument } from './git-names.ts'

/** Matches git's report of a commit: `[main (root-commit) 0123…] message`. */
const COMMITTED = /^\[.*?([0-9a-f]{40})\] /m

/** Commits the staged changes; hooks of the repository run. */
export function createCommit(git: Git): Handler<ToolboxOperations['commitChanges']> {
  return async ({ body, signal }) => {
    const { path, message, author, email, allow_empty: allowEmpty } = body
    checkArgument(author, 'body: author')
    checkArgument(email, 'body: email')
    if (message.includes('\0'))
      throw new AppError('VALIDATION_FAILED', 'body: message must not contain a NUL character')
    const repository = await git.open(path, signal)
    const args = ['commit', '--file=-', '--cleanup=whitespace', ...(allowEmpty ? ['--allow-empty'] : [])]
    const result = await repository.attempt(args, {
      input: message,
      // The whole hash, because HEAD could already be a later commit of another process.
      settings: ['core.abbrev=40'],
      env: {
        GIT_AUTHOR_NAME: author,
        GIT_AUTHOR_EMAIL: email,
        GIT_COMMITTER_NAME: author,
        GIT_COMMITTER_EMAIL: email,
      },
    })
    if (result.exitCode !== 0) {
      const error = gitError(result, 'commit')
      // A hook that refuses the commit ends git with 1, with a message of its own.
      throw error.code === 'GIT_FAILED' && result.exitCode === 1
        ? new AppError('CONFLICT', `the commit was refused: ${gist(result.stderr)}`)
        : error
    }
    return { hash: COMMITTED.exec(result.stdout)?.[1] ?? (await repository.run(['rev-parse', 'HEAD'])).trim() }
  }
}
