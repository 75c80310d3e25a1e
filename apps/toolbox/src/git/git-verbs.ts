import type { gitOperations } from '@atoll/protocol'
import type { FeatureParts, HandlersOf } from '../feature.ts'
import { createAddFiles } from './add-files.ts'
import { createAddRemote } from './add-remote.ts'
import { createCheckout } from './checkout.ts'
import { createClone } from './clone.ts'
import { createCommit } from './commit.ts'
import { createCreateBranch } from './create-branch.ts'
import { createDeleteBranch } from './delete-branch.ts'
import { createGit } from './git.ts'
import { createConfigureUser, createGetConfig, createSetConfig } from './git-config.ts'
import { createGitLauncher } from './git-launcher.ts'
import type { GitLimits } from './git-process.ts'
import { createGitStatus } from './git-status.ts'
import { createHistory } from './history.ts'
import { createInitRepository } from './init-repository.ts'
import { createListBranches } from './list-branches.ts'
import { createListRemotes } from './list-remotes.ts'
import { createPull } from './pull.ts'
import { createPush } from './push.ts'
import { createResetChanges } from './reset-changes.ts'
import { createRestoreFiles } from './restore-files.ts'
import { createStoreCredentials } from './store-credentials.ts'

/** Shorter than the dispatcher's own deadline, so that the caller learns which command took so long. */
const LOCAL_DEADLINE_MS = 270_000
const REMOTE_DEADLINE_MS = 2 * 3_600_000
const REMOTE_SILENCE_MS = 120_000
const MAX_STDOUT_BYTES = 32 * 1024 * 1024
const MAX_STDERR_BYTES = 8 * 1024 * 1024

const LIMITS: GitLimits = {
  localMs: LOCAL_DEADLINE_MS,
  remoteMs: REMOTE_DEADLINE_MS,
  silenceMs: REMOTE_SILENCE_MS,
  maxStdoutBytes: MAX_STDOUT_BYTES,
  maxStderrBytes: MAX_STDERR_BYTES,
}

export type GitVerbs = HandlersOf<typeof gitOperations> & AsyncDisposable

export function createGitVerbs(
  { work, groups, commandEnv }: Pick<FeatureParts, 'work' | 'groups' | 'commandEnv'>,
  limits: GitLimits = LIMITS,
): GitVerbs {
  const launcher = createGitLauncher()
  const git = createGit({ work, groups, commandEnv, launcher, limits })
  return {
    cloneRepository: createClone({ git, work }),
    initRepository: createInitRepository({ git, work }),
    getGitStatus: createGitStatus(git),
    addGitFiles: createAddFiles(git),
    commitChanges: createCommit(git),
    listBranches: createListBranches(git),
    createBranch: createCreateBranch(git),
    deleteBranch: createDeleteBranch(git),
    checkoutBranch: createCheckout(git),
    getCommitHistory: createHistory(git),
    pullChanges: createPull(git),
    pushChanges: createPush(git),
    listRemotes: createListRemotes(git),
    addRemote: createAddRemote(git),
    resetChanges: createResetChanges(git),
    restoreFiles: createRestoreFiles(git),
    getGitConfig: createGetConfig(git),
    setGitConfig: createSetConfig(git),
    configureGitUser: createConfigureUser(git),
    storeGitCredentials: createStoreCredentials(git),
    [Symbol.asyncDispose]: () => launcher[Symbol.asyncDispose](),
  }
}
