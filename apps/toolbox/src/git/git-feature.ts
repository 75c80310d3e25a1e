import type { gitOperations } from '@atoll/protocol'
import type { Feature, FeatureParts } from '../feature.ts'
import type { GitVerbs } from './git-verbs.ts'

/** Works on repositories through the sandbox's own git. */
export function createGitFeature(parts: FeatureParts): Feature<typeof gitOperations> {
  let loading: Promise<GitVerbs> | undefined
  // Loaded on first use: most sandboxes never use git, and simple-git weighs as much as the rest of the toolbox.
  const verbs = () => {
    loading ??= import('./git-verbs.ts').then(({ createGitVerbs }) => createGitVerbs(parts))
    return loading
  }
  return {
    handlers: {
      cloneRepository: async (call) => (await verbs()).cloneRepository(call),
      initRepository: async (call) => (await verbs()).initRepository(call),
      getGitStatus: async (call) => (await verbs()).getGitStatus(call),
      addGitFiles: async (call) => (await verbs()).addGitFiles(call),
      commitChanges: async (call) => (await verbs()).commitChanges(call),
      listBranches: async (call) => (await verbs()).listBranches(call),
      createBranch: async (call) => (await verbs()).createBranch(call),
      deleteBranch: async (call) => (await verbs()).deleteBranch(call),
      checkoutBranch: async (call) => (await verbs()).checkoutBranch(call),
      getCommitHistory: async (call) => (await verbs()).getCommitHistory(call),
      pullChanges: async (call) => (await verbs()).pullChanges(call),
      pushChanges: async (call) => (await verbs()).pushChanges(call),
      listRemotes: async (call) => (await verbs()).listRemotes(call),
      addRemote: async (call) => (await verbs()).addRemote(call),
      resetChanges: async (call) => (await verbs()).resetChanges(call),
      restoreFiles: async (call) => (await verbs()).restoreFiles(call),
      getGitConfig: async (call) => (await verbs()).getGitConfig(call),
      setGitConfig: async (call) => (await verbs()).setGitConfig(call),
      configureGitUser: async (call) => (await verbs()).configureGitUser(call),
      storeGitCredentials: async (call) => (await verbs()).storeGitCredentials(call),
    },
    // These operations may move data for long, and end when no data moves any more.
    ownDeadline: ['cloneRepository', 'pullChanges', 'pushChanges', 'addRemote'],
    async [Symbol.asyncDispose]() {
      const loaded = await loading?.catch(() => undefined)
      await loaded?.[Symbol.asyncDispose]()
    },
  }
}
