import type { Static } from 'typebox'
import { Type } from 'typebox'
import type { ErrorCode } from '../errors.ts'
import { defineOperation } from '../operation.ts'
import { Empty, Nothing, Path } from './operation-parts.ts'

/** Most commits that the history returns, newest first. */
export const MAX_HISTORY_COMMITS = 10_000

const fileStates = [
  'Unmodified',
  'Untracked',
  'Modified',
  'Added',
  'Deleted',
  'Renamed',
  'Copied',
  'Updated but unmerged',
] as const
const FileState = Type.Unsafe<(typeof fileStates)[number]>(Type.String({ enum: [...fileStates] }))
export type FileState = Static<typeof FileState>

export const FileStatus = Type.Object(
  {
    name: Type.String({ description: 'Relative to the repository' }),
    extra: Type.String({ description: 'The old name of what is renamed or copied; else empty' }),
    staging: FileState,
    worktree: FileState,
  },
  { $id: 'FileStatus' },
)
export type FileStatus = Static<typeof FileStatus>

export const GitStatus = Type.Object(
  {
    currentBranch: Type.String({ description: 'HEAD when detached; the name to be when there is no commit yet' }),
    detached: Type.Boolean(),
    upstream: Type.String({ description: 'Such as origin/main; empty when unset' }),
    ahead: Type.Integer({ description: 'Commits the upstream lacks; 0 without one' }),
    behind: Type.Integer({ description: 'Commits only the upstream has; 0 without one' }),
    branchPublished: Type.Boolean({ description: 'Whether the upstream exists' }),
    fileStatus: Type.Array(FileStatus, { description: 'Of files that are not clean' }),
  },
  { $id: 'GitStatus' },
)
export type GitStatus = Static<typeof GitStatus>

export const GitCommitInfo = Type.Object(
  {
    hash: Type.String(),
    message: Type.String(),
    author: Type.String(),
    email: Type.String(),
    timestamp: Type.String({ description: 'RFC 3339, when it was authored' }),
  },
  { $id: 'GitCommitInfo' },
)
export type GitCommitInfo = Static<typeof GitCommitInfo>

const Credentials = {
  username: Type.Optional(Type.String({ description: 'For HTTP; used only together with password, and not kept' })),
  password: Type.Optional(Type.String({ description: 'Or a token' })),
}
const Files = Type.Array(Type.String({ minLength: 1 }), { description: 'Paths as they are, in the repository' })
const Scope = Type.Optional(Type.String({ description: 'global (default), local or system' }))
const ScopePath = Type.Optional(Type.String({ description: 'The repository; required when scope is local' }))
const Revision = Type.String({ minLength: 1, description: 'A branch, tag or commit' })
const Branch = Type.String({ minLength: 1 })

const localErrors = [
  'VALIDATION_FAILED',
  'REQUEST_TIMEOUT',
  'PAYLOAD_TOO_LARGE',
  'RATE_LIMITED',
  'FILE_ACCESS_DENIED',
  'GIT_REPO_NOT_FOUND',
  'GIT_LOCKED',
  'GIT_NOT_INSTALLED',
  'GIT_FAILED',
] as const satisfies readonly ErrorCode[]
const remoteErrors = [
  ...localErrors,
  'FORBIDDEN',
  'GIT_AUTH_FAILED',
  'GIT_BRANCH_NOT_FOUND',
  'GIT_TRANSPORT_FAILED',
] as const satisfies readonly ErrorCode[]

/** Repositories, through the sandbox's own git. §16 and §20.3 of the contract. */
export const gitOperations = {
  cloneRepository: defineOperation({
    method: 'POST',
    path: '/git/clone',
    summary: 'Clone one branch of a repository, without its submodules',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      url: Type.String({ minLength: 1, description: 'http, https, ssh, git or file URL, or a path' }),
      path: Path,
      ...Credentials,
      branch: Type.Optional(Type.String({ description: "A branch or tag; absent means the remote's HEAD" })),
      commit_id: Type.Optional(Type.String({ description: 'Checked out, detached, once cloned' })),
      depth: Type.Optional(Type.Integer({ minimum: 0, description: 'Commits of history; 0 and absent mean all' })),
      insecure_skip_tls: Type.Optional(Type.Boolean({ description: 'Do not verify the certificate, for this call' })),
    }),
    status: 200,
    output: Nothing,
    errors: [...remoteErrors, 'GIT_TARGET_NOT_EMPTY', 'GIT_REF_NOT_FOUND'],
  }),
  initRepository: defineOperation({
    method: 'POST',
    path: '/git/init',
    summary: 'Make a new repository, and its folder',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      bare: Type.Optional(Type.Boolean()),
      initial_branch: Type.Optional(Type.String({ description: "Absent means git's own default" })),
    }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'GIT_REPO_EXISTS'],
  }),
  getGitStatus: defineOperation({
    method: 'GET',
    path: '/git/status',
    summary: 'The branch, its upstream, and the files that differ',
    query: Type.Object({ path: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: GitStatus,
    errors: localErrors,
  }),
  addGitFiles: defineOperation({
    method: 'POST',
    path: '/git/add',
    summary: 'Stage files, and deletions of files; "." is everything',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ path: Path, files: Files }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'FILE_NOT_FOUND'],
  }),
  commitChanges: defineOperation({
    method: 'POST',
    path: '/git/commit',
    summary: 'Commit what is staged; the author is also the committer',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      message: Type.String({ minLength: 1 }),
      author: Type.String({ minLength: 1 }),
      email: Type.String(),
      allow_empty: Type.Optional(Type.Boolean()),
    }),
    status: 200,
    output: Type.Object({ hash: Type.String({ description: '40 hex digits' }) }, { $id: 'GitCommitResponse' }),
    errors: [...localErrors, 'CONFLICT', 'GIT_NOTHING_TO_COMMIT', 'GIT_MERGE_CONFLICT'],
  }),
  listBranches: defineOperation({
    method: 'GET',
    path: '/git/branches',
    summary: 'List the local branches',
    query: Type.Object({ path: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object(
      {
        branches: Type.Array(Type.String()),
        current: Type.String({ description: 'Empty when HEAD is detached' }),
      },
      { $id: 'ListBranchResponse' },
    ),
    errors: localErrors,
  }),
  createBranch: defineOperation({
    method: 'POST',
    path: '/git/branches',
    summary: 'Make a branch at HEAD and check it out',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ path: Path, name: Branch }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'GIT_BRANCH_EXISTS'],
  }),
  deleteBranch: defineOperation({
    method: 'DELETE',
    path: '/git/branches',
    summary: 'Delete a branch, merged or not, that is not checked out',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ path: Path, name: Branch }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'GIT_BRANCH_NOT_FOUND', 'CONFLICT'],
  }),
  checkoutBranch: defineOperation({
    method: 'POST',
    path: '/git/checkout',
    summary: 'Check out a branch, or a tag or commit with HEAD detached',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({ path: Path, branch: Revision }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'GIT_BRANCH_NOT_FOUND', 'GIT_DIRTY_WORKTREE', 'GIT_MERGE_CONFLICT'],
  }),
  getCommitHistory: defineOperation({
    method: 'GET',
    path: '/git/history',
    summary: `The commits from HEAD, newest first, at most ${MAX_HISTORY_COMMITS}`,
    query: Type.Object({ path: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Array(GitCommitInfo),
    errors: localErrors,
  }),
  pullChanges: defineOperation({
    method: 'POST',
    path: '/git/pull',
    summary: 'Fetch a branch and merge it into the one checked out',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      ...Credentials,
      branch: Type.Optional(
        Type.String({ description: 'Absent means the upstream, else the branch of the same name' }),
      ),
      remote: Type.Optional(Type.String({ description: 'Absent means origin' })),
    }),
    status: 200,
    output: Nothing,
    errors: [...remoteErrors, 'GIT_REMOTE_NOT_FOUND', 'GIT_DIRTY_WORKTREE', 'GIT_MERGE_CONFLICT'],
  }),
  pushChanges: defineOperation({
    method: 'POST',
    path: '/git/push',
    summary: 'Push a branch to the one of the same name',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      ...Credentials,
      branch: Type.Optional(Type.String({ description: 'Absent means the one checked out' })),
      remote: Type.Optional(Type.String({ description: 'Absent means origin' })),
      set_upstream: Type.Optional(Type.Boolean()),
    }),
    status: 200,
    output: Nothing,
    errors: [...remoteErrors, 'GIT_REMOTE_NOT_FOUND', 'GIT_PUSH_REJECTED', 'GIT_REMOTE_REJECTED'],
  }),
  listRemotes: defineOperation({
    method: 'GET',
    path: '/git/remotes',
    summary: 'List the remotes',
    query: Type.Object({ path: Path }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object(
      { remotes: Type.Array(Type.Object({ name: Type.String(), url: Type.String() }, { $id: 'GitRemote' })) },
      { $id: 'ListRemotesResponse' },
    ),
    errors: localErrors,
  }),
  addRemote: defineOperation({
    method: 'POST',
    path: '/git/remotes',
    summary: 'Add a remote, or give it another URL',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      name: Type.String({ minLength: 1 }),
      url: Type.String({ minLength: 1 }),
      fetch: Type.Optional(Type.Boolean({ description: 'Fetch from it at once' })),
      overwrite: Type.Optional(Type.Boolean({ description: 'Set the URL of a remote that exists' })),
    }),
    status: 200,
    output: Nothing,
    errors: [...remoteErrors, 'GIT_REMOTE_EXISTS'],
  }),
  resetChanges: defineOperation({
    method: 'POST',
    path: '/git/reset',
    summary: 'Move HEAD and its branch, or unstage files',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      mode: Type.Optional(Type.String({ description: 'soft, mixed (default), hard, merge or keep' })),
      target: Type.Optional(Type.String({ description: 'A branch, tag or commit; absent means HEAD' })),
      files: Type.Optional(Files),
    }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'GIT_REF_NOT_FOUND', 'GIT_DIRTY_WORKTREE'],
  }),
  restoreFiles: defineOperation({
    method: 'POST',
    path: '/git/restore',
    summary: 'Undo changes of files, in the working tree or in what is staged',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      path: Path,
      files: Files,
      staged: Type.Optional(Type.Boolean()),
      worktree: Type.Optional(Type.Boolean({ description: 'Absent means true, unless staged is given' })),
      source: Type.Optional(Type.String({ description: 'A branch, tag or commit; absent means what is staged' })),
    }),
    status: 200,
    output: Nothing,
    errors: [...localErrors, 'FILE_NOT_FOUND', 'GIT_REF_NOT_FOUND', 'GIT_MERGE_CONFLICT'],
  }),
  getGitConfig: defineOperation({
    method: 'GET',
    path: '/git/config',
    summary: 'Read a configuration value',
    query: Type.Object({ key: Type.String({ minLength: 1 }), path: ScopePath, scope: Scope }),
    bodyKind: 'none',
    body: Empty,
    status: 200,
    output: Type.Object(
      { value: Type.Union([Type.String(), Type.Null()], { description: 'null when the key is not set' }) },
      { $id: 'GitConfigResponse' },
    ),
    errors: localErrors,
  }),
  setGitConfig: defineOperation({
    method: 'POST',
    path: '/git/config',
    summary: 'Set a configuration value, in place of all there are for the key',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      key: Type.String({ minLength: 1 }),
      value: Type.String(),
      path: ScopePath,
      scope: Scope,
    }),
    status: 200,
    output: Nothing,
    errors: localErrors,
  }),
  configureGitUser: defineOperation({
    method: 'POST',
    path: '/git/config/user',
    summary: 'Set user.name and user.email',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      name: Type.String({ minLength: 1 }),
      email: Type.String({ minLength: 1 }),
      path: ScopePath,
      scope: Scope,
    }),
    status: 200,
    output: Nothing,
    errors: localErrors,
  }),
  storeGitCredentials: defineOperation({
    method: 'POST',
    path: '/git/credentials',
    summary: 'Keep credentials for a host, as plain text in the home folder',
    query: Empty,
    bodyKind: 'json',
    body: Type.Object({
      username: Type.String({ minLength: 1 }),
      password: Type.String({ minLength: 1 }),
      host: Type.Optional(Type.String({ description: 'With a port where it has one; absent means github.com' })),
      protocol: Type.Optional(Type.String({ description: 'Absent means https' })),
    }),
    status: 200,
    output: Nothing,
    errors: localErrors,
  }),
} as const
