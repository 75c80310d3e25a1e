import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git, Repository } from './git.ts'

/** Returns the remotes and their fetch URLs, in the order of the configuration. */
export function createListRemotes(git: Git): Handler<ToolboxOperations['listRemotes']> {
  return async ({ queryBytes, signal }) => {
    const repository = await git.open(queryBytes('path'), signal)
    const urls = await remoteUrls(repository)
    return { remotes: [...urls].map(([name, url]) => ({ name, url })) }
  }
}

/** Returns name → URL, from this repository's own configuration. */
export async function remoteUrls(repository: Repository): Promise<ReadonlyMap<string, string>> {
  const args = ['config', '--local', '--null', '--get-regexp', '^remote\\..*\\.url$']
  const { exitCode, stdout } = await repository.attempt(args)
  // Exit code 1 says that there is no remote, or no repository; `rev-parse` then fails for the latter.
  if (exitCode !== 0) await repository.run(['rev-parse', '--git-dir'])
  const urls = new Map<string, string>()
  for (const entry of stdout.split('\0')) {
    const [key = '', ...url] = entry.split('\n')
    const name = key.slice('remote.'.length, -'.url'.length)
    if (name !== '' && !urls.has(name)) urls.set(name, url.join('\n'))
  }
  return urls
}
