import type { GitCommitInfo, ToolboxOperations } from '@atoll/protocol'
import { MAX_HISTORY_COMMITS } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { gitError } from './git-error.ts'

const FIELDS = ['%H', '%an', '%ae', '%aI', '%B']
const NO_COMMITS = /does not have any commits yet/

/** Returns the commits from HEAD, newest first; none before the first commit. */
export function createHistory(git: Git): Handler<ToolboxOperations['getCommitHistory']> {
  return async ({ queryBytes, signal }) => {
    const repository = await git.open(queryBytes('path'), signal)
    const format = `--format=tformat:${FIELDS.join('%x00')}`
    const args = ['log', '-z', `--max-count=${MAX_HISTORY_COMMITS}`, '--no-show-signature', '--encoding=UTF-8', format]
    const result = await repository.attempt([...args, '--'], { settings: ['log.mailmap=false'] })
    if (result.exitCode === 0) return parseHistory(result.stdout)
    const error = gitError(result, 'log')
    if (NO_COMMITS.test(result.stderr)) return []
    throw error
  }
}

/** Parses the output: every field ends with NUL, which no commit can contain. */
function parseHistory(output: string): GitCommitInfo[] {
  const fields = output.split('\0')
  const commits: GitCommitInfo[] = []
  for (let at = 0; at + FIELDS.length <= fields.length; at += FIELDS.length) {
    const [hash = '', author = '', email = '', timestamp = '', message = ''] = fields.slice(at, at + FIELDS.length)
    commits.push({ hash, message: message.replace(/\n$/, ''), author, email, timestamp })
  }
  return commits
}
