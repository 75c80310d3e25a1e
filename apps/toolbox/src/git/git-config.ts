import type { ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { Git, Repository } from './git.ts'
import { gitError } from './git-error.ts'
import { checkArgument, choose } from './git-names.ts'

const SCOPES = ['global', 'local', 'system'] as const

interface Place {
  readonly scope?: string
  readonly path?: string
}

/** Reads a value, the last one of several; null when the key is not set. */
export function createGetConfig(git: Git): Handler<ToolboxOperations['getGitConfig']> {
  return async ({ query, queryBytes, signal }) => {
    checkArgument(query.key, 'query: key')
    const { repository, scope } = await placeOf(git, { ...query, path: queryBytes('path') }, signal)
    const result = await repository.attempt(['config', scope, '--null', '--get', '--', query.key])
    if (result.exitCode === 0) return { value: result.stdout.replace(/\0$/, '') }
    // Exit code 1 without output says that the key is not set.
    if (result.exitCode === 1 && result.stderr === '') return { value: null }
    throw gitError(result, 'config')
  }
}

/** Sets a value, in place of all values of the key. */
export function createSetConfig(git: Git): Handler<ToolboxOperations['setGitConfig']> {
  return async ({ body, signal }) => {
    checkArgument(body.key, 'body: key')
    checkArgument(body.value, 'body: value')
    const { repository, scope } = await placeOf(git, body, signal)
    await setConfig(repository, scope, [body.key, body.value])
    return undefined
  }
}

/** Sets the name and email of the committer. */
export function createConfigureUser(git: Git): Handler<ToolboxOperations['configureGitUser']> {
  return async ({ body, signal }) => {
    checkArgument(body.name, 'body: name')
    checkArgument(body.email, 'body: email')
    const { repository, scope } = await placeOf(git, body, signal)
    await setConfig(repository, scope, ['user.name', body.name])
    await setConfig(repository, scope, ['user.email', body.email])
    return undefined
  }
}

async function setConfig(repository: Repository, scope: string, [key, value]: [string, string]): Promise<void> {
  await repository.run(['config', scope, '--replace-all', '--', key, value], { setsConfig: true })
}

async function placeOf(
  git: Git,
  { scope, path }: Omit<Place, 'path'> & { path?: string | Buffer },
  signal: AbortSignal,
): Promise<{ repository: Repository; scope: string }> {
  const chosen = choose(scope, SCOPES, 'scope')
  const local = chosen === 'local'
  if (local && (path === undefined || path.length === 0)) {
    throw new AppError('VALIDATION_FAILED', 'path is required when scope is local')
  }
  // Other scopes need no repository, and a broken one must not be in the way.
  return { repository: await git.open(local && path !== undefined ? path : '/', signal), scope: `--${chosen}` }
}
