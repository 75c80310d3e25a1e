import { realpath, stat } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@atoll/protocol'
import { errnoOf } from '../files/fs-error.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { gitError, isLocked } from './git-error.ts'
import type { GitCommand, GitProcessParts, GitResult } from './git-process.ts'
import { runGit } from './git-process.ts'

/** Git processes that may run at the same time. */
const MAX_GIT_PROCESSES = 64
/** Waits between attempts while another git holds a lock, in milliseconds: 3 seconds in all. */
const LOCK_WAITS_MS = [20, 50, 100, 200, 400, 800, 1_430]

/** One folder of the sandbox in which git runs for one call. */
export interface Repository {
  /** A real path. */
  readonly dir: string
  /** Runs git there and returns its stdout. Throws an AppError that tells why it failed; waits a while for locks. */
  run(args: readonly string[], options?: RunOptions): Promise<string>
  /** Does the same, but also returns the result of a failed git. */
  attempt(args: readonly string[], options?: RunOptions): Promise<GitResult>
}

export type RunOptions = Omit<GitCommand, 'args' | 'cwd' | 'signal'>

/** The sandbox's git. */
export interface Git {
  /**
   * Opens a folder. Throws GIT_REPO_NOT_FOUND when it does not exist. Only git itself finds out whether it is a repository;
   * the repository must be in the folder itself, not above it.
   */
  open(path: string | Buffer, signal: AbortSignal): Promise<Repository>
}

/** Makes the sandbox's git; its commands throw RATE_LIMITED when too many run. */
export function createGit(parts: GitProcessParts & { work: WorkDirectory }): Git {
  let running = 0

  async function once(command: GitCommand): Promise<GitResult> {
    if (running >= MAX_GIT_PROCESSES)
      throw new AppError('RATE_LIMITED', `${MAX_GIT_PROCESSES} git commands run already`)
    running += 1
    try {
      return await runGit(command, parts)
    } finally {
      running -= 1
    }
  }

  async function attempt(command: GitCommand): Promise<GitResult> {
    for (const wait of LOCK_WAITS_MS) {
      const result = await once(command)
      if (!isLocked(result)) return result
      await delay(wait, undefined, { signal: command.signal })
    }
    return once(command)
  }

  return {
    async open(path, signal) {
      const dir = await realFolder(parts.work, path)
      const command = (args: readonly string[], options: RunOptions) => ({ ...options, args, cwd: dir, signal })
      return {
        dir,
        attempt: (args, options = {}) => attempt(command(args, options)),
        async run(args, options = {}) {
          const result = await attempt(command(args, options))
          if (result.exitCode !== 0) throw gitError(result, args[0] ?? '', options.credentials)
          return result.stdout
        },
      }
    },
  }
}

/** Returns an absolute path as the text that git gets. Throws INVALID_FILE_PATH for bytes that are not UTF-8. */
export function textPath(work: WorkDirectory, path: string | Buffer): string {
  const bytes = work.resolve(path)
  const text = bytes.toString()
  if (!Buffer.from(text).equals(bytes)) throw new AppError('INVALID_FILE_PATH', "a repository's path must be UTF-8")
  return text
}

async function realFolder(work: WorkDirectory, path: string | Buffer): Promise<string> {
  const text = textPath(work, path)
  try {
    const real = await realpath(text)
    if ((await stat(real)).isDirectory()) return real
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EACCES') throw new AppError('FILE_ACCESS_DENIED', `permission denied: ${path}`)
    if (errno === undefined) throw error
  }
  throw new AppError('GIT_REPO_NOT_FOUND', `no repository: there is no folder ${path}`)
}
