import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { checkReference, checkUrl } from './git-names.ts'
import { remoteUrls } from './list-remotes.ts'

/** Adds a remote, or gives it another URL. The remote stays when fetching from it then fails. */
export function createAddRemote(git: Git): Handler<ToolboxOperations['addRemote']> {
  return async ({ body, signal }) => {
    const { name, url } = body
    checkReference(name, 'name')
    checkUrl(url)
    const repository = await git.open(body.path, signal)
    const replaces = Boolean(body.overwrite) && (await remoteUrls(repository)).has(name)
    await repository.run(['remote', replaces ? 'set-url' : 'add', '--', name, url])
    if (body.fetch) {
      await repository.run(['fetch', '--progress', '--no-recurse-submodules', name], { talksToRemote: true })
    }
    return undefined
  }
}
