import { readdir, rm } from 'node:fs/promises'
import type { BodyOf, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { errnoOf } from '../files/fs-error.ts'
import type { WorkDirectory } from '../work-directory.ts'
import type { Git, RunOptions } from './git.ts'
import { textPath } from './git.ts'
import { credentialsFor, withoutUserInfo } from './git-credentials.ts'
import { checkRevision, checkUrl } from './git-names.ts'
import { findCommit } from './revision.ts'

const FULL_HASH = /^[0-9a-f]{40}([0-9a-f]{24})?$/i

type CloneRequest = BodyOf<ToolboxOperations['cloneRepository']>

/**
 * Clones one branch, and checks out a commit when one is asked for. The files of a failed or abandoned clone are deleted.
 * Credentials, also those in the URL, are used for this call and not kept.
 */
export function createClone({
  git,
  work,
}: {
  git: Git
  work: WorkDirectory
}): Handler<ToolboxOperations['cloneRepository']> {
  /** Folders into which a clone is under way. */
  const targets = new Set<string>()

  return async ({ body, signal }) => {
    check(body)
    const target = textPath(work, body.path)
    if (targets.has(target)) throw new AppError('GIT_TARGET_NOT_EMPTY', `is being cloned into: ${body.path}`)
    targets.add(target)
    try {
      const before = await look(target, body.path)
      await clone({ git, work, body, target, signal }).catch(async (error: unknown) => {
        await clear(target, before, error)
        throw error
      })
      return undefined
    } finally {
      targets.delete(target)
    }
  }
}

function check({ url, branch, commit_id: commit }: CloneRequest): void {
  checkUrl(url)
  if (branch) checkRevision(branch, 'branch')
  if (commit) checkRevision(commit, 'commit_id')
}

interface CloneJob {
  git: Git
  work: WorkDirectory
  body: CloneRequest
  target: string
  signal: AbortSignal
}

async function clone({ git, work, body, target, signal }: CloneJob): Promise<void> {
  const { branch, depth, commit_id: commit } = body
  const remote: RunOptions = {
    credentials: credentialsFor(body.url, body),
    talksToRemote: true,
    settings: body.insecure_skip_tls ? ['http.sslVerify=false'] : [],
  }
  const how = [
    '--progress',
    '--single-branch',
    ...(branch ? [`--branch=${branch}`] : []),
    // Without --no-local, a plain path would be copied whole.
    ...(depth ? [`--depth=${depth}`, '--no-local'] : []),
    ...(commit ? ['--no-checkout'] : []),
  ]
  // A relative path to clone from starts at the work directory.
  const here = await git.open(work.dir, signal)
  await here.run(['clone', ...how, '--', withoutUserInfo(body.url), target], remote)
  if (!commit) return
  const repository = await git.open(target, signal)
  if ((await findCommit(repository, commit)) === undefined && FULL_HASH.test(commit)) {
    // The commit is not on the branch, or before its depth; many servers give out any commit that is asked for by name.
    await repository.attempt(['fetch', ...(depth ? [`--depth=${depth}`] : []), 'origin', commit], remote)
  }
  const found = await findCommit(repository, commit)
  if (found === undefined) throw new AppError('GIT_REF_NOT_FOUND', `the clone has no commit ${commit}`)
  await repository.run(['checkout', '--detach', found, '--'])
}

/** Throws GIT_TARGET_NOT_EMPTY for a folder with entries and for a path that is not a folder. */
async function look(target: string, path: string): Promise<'absent' | 'empty'> {
  const entries = await readdir(target).catch((error: unknown) => {
    const errno = errnoOf(error)
    if (errno === 'ENOENT') return undefined
    if (errno === 'ENOTDIR') throw new AppError('GIT_TARGET_NOT_EMPTY', `not a folder: ${path}`)
    if (errno === 'EACCES') throw new AppError('FILE_ACCESS_DENIED', `permission denied: ${path}`)
    throw error
  })
  if (entries === undefined) return 'absent'
  if (entries.length === 0) return 'empty'
  throw new AppError('GIT_TARGET_NOT_EMPTY', `the folder to clone into is not empty: ${path}`)
}

/** Deletes the files of a failed clone: git leaves them if it is killed, or if a step after its clone has failed. */
async function clear(target: string, before: 'absent' | 'empty', error: unknown): Promise<void> {
  // These files are not of this clone.
  if (error instanceof AppError && error.code === 'GIT_TARGET_NOT_EMPTY') return
  if (before === 'absent') return rm(target, { recursive: true, force: true })
  // Names are read as bytes, because those in a repository need not be UTF-8.
  for (const entry of await readdir(target, { encoding: 'buffer' })) {
    await rm(Buffer.concat([Buffer.from(`${target}/`), entry]), { recursive: true, force: true })
  }
}
