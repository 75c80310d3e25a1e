import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git } from './git.ts'
import { choose } from './git-names.ts'
import { FROM_STDIN, pathList } from './path-list.ts'
import { resolveCommit } from './revision.ts'

const MODES = ['mixed', 'soft', 'hard', 'merge', 'keep'] as const

/** Moves HEAD and its branch; with files, resets only what is staged of them. */
export function createResetChanges(git: Git): Handler<ToolboxOperations['resetChanges']> {
  return async ({ body, signal }) => {
    const { target, files = [] } = body
    const mode = choose(body.mode, MODES, 'body: mode')
    if (files.length > 0 && mode !== 'mixed') {
      throw new AppError('VALIDATION_FAILED', `body: files cannot be reset in mode ${mode}`)
    }
    const input = pathList(files)
    const repository = await git.open(body.path, signal)
    const commit = target ? [await resolveCommit(repository, target, 'target')] : []
    if (files.length > 0) await repository.run(['reset', '--quiet', ...FROM_STDIN, ...commit], { input })
    else await repository.run(['reset', '--quiet', `--${mode}`, ...commit, '--'])
    return undefined
  }
}
