import { stat } from 'node:fs/promises'
import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import type { Git } from './git.ts'
import { textPath } from './git.ts'
import { checkReference } from './git-names.ts'

/** Makes a repository, with its folder and that folder's parents. Throws GIT_REPO_EXISTS where there is one already. */
export function createInitRepository(parts: {
  git: Git
  work: WorkDirectory
}): Handler<ToolboxOperations['initRepository']> {
  const { git, work } = parts
  return async ({ body, signal }) => {
    const branch = body.initial_branch || undefined
    if (branch !== undefined) checkReference(branch, 'initial_branch')
    const path = textPath(work, body.path)
    const found = await stat(path).catch(() => undefined)
    if (found?.isDirectory()) {
      const { exitCode } = await (await git.open(path, signal)).attempt(['rev-parse', '--git-dir'])
      if (exitCode === 0) throw new AppError('GIT_REPO_EXISTS', `there is a repository already: ${body.path}`)
    } else if (found !== undefined) throw new AppError('FILE_EXISTS', `not a folder: ${body.path}`)
    const options = [...(body.bare ? ['--bare'] : []), ...(branch === undefined ? [] : [`--initial-branch=${branch}`])]
    const anywhere = await git.open('/', signal)
    await anywhere.run(['init', ...options, '--', path])
    return undefined
  }
}
