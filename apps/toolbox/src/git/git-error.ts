import type { ErrorCode } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { GitCredentials } from './git-credentials.ts'
import { withoutSecrets } from './git-credentials.ts'
import { NOT_FOUND_EXIT_CODE } from './git-launcher.ts'
import type { GitResult } from './git-process.ts'

/** The longest text of git that an error carries, in characters. */
const MAX_MESSAGE_LENGTH = 2_000
/** The most characters of git's output, from its end, that are searched for a meaning. */
const MAX_READ_LENGTH = 64 * 1024

/** Matches when another process holds a lock of the repository, for a moment, or has left it behind when it died. */
const LOCKED = /\.lock'?: File exists|could not lock config file .*: File exists/

/** Error codes by git's English words; the first match counts. */
const meanings: readonly (readonly [RegExp, ErrorCode])[] = [
  [LOCKED, 'GIT_LOCKED'],
  [/detected dubious ownership/, 'FILE_ACCESS_DENIED'],
  [
    /transport '.*' not allowed|Unable to find remote helper|strange (hostname|pathname|port) .* blocked/,
    'VALIDATION_FAILED',
  ],
  [
    /Authentication failed|could not read (Username|Password)|terminal prompts disabled|Permission denied \(publickey/,
    'GIT_AUTH_FAILED',
  ],
  [/requested URL returned error: 403/, 'FORBIDDEN'],
  [/Remote branch .* not found|couldn't find remote ref|src refspec .* does not match/, 'GIT_BRANCH_NOT_FOUND'],
  [
    /not a git repository|used inside a git repository|does not appear to be a git repository|repository .*(not found|does not exist)/i,
    'GIT_REPO_NOT_FOUND',
  ],
  [/already exists and is not an empty directory/, 'GIT_TARGET_NOT_EMPTY'],
  [/[Aa] branch named .* already exists|'refs\/heads\/.*' exists; cannot create/, 'GIT_BRANCH_EXISTS'],
  [/branch '.*' not found|invalid reference: |bad revision|unknown revision/, 'GIT_BRANCH_NOT_FOUND'],
  [/[Nn]o such remote/, 'GIT_REMOTE_NOT_FOUND'],
  [/remote .* already exists/, 'GIT_REMOTE_EXISTS'],
  [/checked out at|used by worktree at/, 'CONFLICT'],
  [
    /CONFLICT \(|Automatic merge failed|unmerged|not concluded your merge|resolve your current index|needs merge/,
    'GIT_MERGE_CONFLICT',
  ],
  [/would be overwritten by|not uptodate|[Uu]nstaged changes|would be lost/, 'GIT_DIRTY_WORKTREE'],
  [/nothing (added )?to commit|no changes added to commit/, 'GIT_NOTHING_TO_COMMIT'],
  [/pathspec '.*' did not match/s, 'FILE_NOT_FOUND'],
  [/remote rejected/, 'GIT_REMOTE_REJECTED'],
  [/\[rejected\]|non-fast-forward/, 'GIT_PUSH_REJECTED'],
  [
    /tell me who you are|auto-detect email|empty ident name|disallowed characters|empty commit message|outside repository|must be run in a work tree|paths are ignored|refusing to merge unrelated|key does not contain|invalid key|only one config file|not a valid (branch|object|ref)/,
    'VALIDATION_FAILED',
  ],
  [/No space left on device|Disk quota exceeded/, 'DISK_FULL'],
  [
    /Host key verification failed|unable to access|Could not (resolve|read from remote)|hung up|early EOF/,
    'GIT_TRANSPORT_FAILED',
  ],
  [/RPC failed|[Cc]onnection|unexpected disconnect|index-pack failed|protocol error|timed out/, 'GIT_TRANSPORT_FAILED'],
  [/Permission denied|Read-only file system|Operation not permitted|insufficient permission/, 'FILE_ACCESS_DENIED'],
]

/** Matches git's progress, and advice for a person at a terminal. */
const NO_NEWS =
  /^(hint: ?.*|warning: .*|Cloning into .*|(From|To) \S+| [ *+=t-] .* -> .*|(remote: )?(Enumerating|Counting|Compressing|Receiving|Writing|Total|Resolving|Delta|Updating files).*|remote: *|\s*)$/

/** Returns whether trying again in a moment may help. */
export function isLocked({ exitCode, stderr }: GitResult): boolean {
  return exitCode !== 0 && LOCKED.test(stderr)
}

/** Returns the AppError for a failed git; `doing` is what it was to do, such as `clone`. */
export function gitError(result: GitResult, doing: string, credentials?: GitCredentials): AppError {
  if (result.exitCode === NOT_FOUND_EXIT_CODE || (result.exitCode ?? 0) < 0) return notInstalled()
  const said = `${result.stderr.slice(-MAX_READ_LENGTH)}\n${result.stdout.slice(-MAX_READ_LENGTH)}`
  const [, code] = meanings.find(([words]) => words.test(said)) ?? [undefined, 'GIT_FAILED' as const]
  const words = withoutSecrets(gist(result.stderr) || gist(result.stdout), credentials)
  return new AppError(
    code,
    `git ${doing} failed: ${words || ending(result)}${advice[code] ?? ''}`.slice(0, MAX_MESSAGE_LENGTH),
  )
}

/** Returns the lines that tell why git failed, without progress and advice. Lines of a server begin with `remote:`. */
export function gist(output: string): string {
  const lines = output
    .slice(-MAX_READ_LENGTH)
    .split(/[\n\r]/)
    .map((line) => line.trimEnd())
    .filter((line) => !NO_NEWS.test(line))
  return lines.join('\n').replace(/^(fatal|error): /, '')
}

/** Added to an error: how the caller can resolve it. */
const advice: Partial<Record<ErrorCode, string>> = {
  GIT_LOCKED: '\nAnother git works here, or one died here and left the lock behind.',
}

function ending({ exitCode }: GitResult): string {
  return exitCode === null ? 'it was killed' : `it ended with ${exitCode} and no word`
}

function notInstalled(): AppError {
  return new AppError(
    'GIT_NOT_INSTALLED',
    'git is not installed in this sandbox: install it (apt-get install git, apk add git, dnf install git) or use a snapshot that has it',
  )
}
