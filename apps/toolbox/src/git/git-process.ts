import type { Readable } from 'node:stream'
import { AppError } from '@atoll/protocol'
import type { ProcessGroups } from '../process/process-groups.ts'
import type { GitCredentials } from './git-credentials.ts'
import { credentialAnswers, credentialOptions } from './git-credentials.ts'
import { ALWAYS, gitEnvironment, PERMITTED, PERMITTED_CONFIG } from './git-environment.ts'
import type { GitLauncher } from './git-launcher.ts'
import { INPUT_ON_DESCRIPTOR_3 } from './git-launcher.ts'
import { watchProcess } from './watch-process.ts'

export interface GitCommand {
  /** Without what comes before the command, such as `-c`. */
  readonly args: readonly string[]
  /** More settings for this process alone: `name=value`. */
  readonly settings?: readonly string[]
  /** An existing folder, as a real path. */
  readonly cwd: string
  readonly signal: AbortSignal
  /** For git's stdin; with credentials there is none. */
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly credentials?: GitCredentials | undefined
  /** May take long, as long as it moves. */
  readonly talksToRemote?: boolean
  /** Sets configuration, so that any may be named. */
  readonly setsConfig?: boolean
}

export interface GitResult {
  /** Negative when it could not be started, null when a signal ended it. */
  readonly exitCode: number | null
  readonly stdout: string
  /** Empty when the exit code is 0. */
  readonly stderr: string
}

/** How long git may take and how much it may say. */
export interface GitLimits {
  /** Of a command that stays in the sandbox. */
  readonly localMs: number
  /** Of a command that talks to a remote. */
  readonly remoteMs: number
  /** A command that talks to a remote may say nothing for this long; git reports its progress every second. */
  readonly silenceMs: number
  readonly maxStdoutBytes: number
  readonly maxStderrBytes: number
}

export interface GitProcessParts {
  readonly groups: ProcessGroups
  readonly commandEnv: Readonly<Record<string, string>>
  readonly launcher: GitLauncher
  readonly limits: GitLimits
}

/**
 * Runs git to its end, whatever that is. When the caller goes away or a limit is reached, its whole process group is
 * ended and this throws: REQUEST_TIMEOUT, GIT_TRANSPORT_FAILED, PAYLOAD_TOO_LARGE, or the caller's own reason.
 */
export async function runGit(command: GitCommand, parts: GitProcessParts): Promise<GitResult> {
  command.signal.throwIfAborted()
  // Loaded on first use, like all of this feature.
  const { simpleGit } = await import('simple-git')
  const env = gitEnvironment(parts.commandEnv, command.cwd, {
    ...(command.credentials === undefined ? {} : INPUT_ON_DESCRIPTOR_3),
    ...command.env,
  })
  const { binary, ownGroup } = await parts.launcher.prepare(env)
  const watch = watchProcess(command, parts)
  let failure: GitResult | undefined
  try {
    const git = simpleGit({
      baseDir: command.cwd,
      binary,
      maxConcurrentProcesses: 1,
      allowEnvironment: Object.keys(env),
      unsafe: command.setsConfig ? PERMITTED_CONFIG : PERMITTED,
      // Without input of its own a command reads an end of file.
      input: () => Buffer.from(inputOf(command)),
      ...(ownGroup ? {} : { abort: watch.stopped }),
      errors(error, { exitCode, stdOut, stdErr }) {
        if (exitCode === 0) return error
        failure = { exitCode, stdout: text(stdOut), stderr: withoutFirstLine(text(stdErr)) }
        return new Error('git failed')
      },
    })
    git.env(env)
    git.outputHandler((_binary, stdout, stderr) => watch.attach(stdout as Readable, stderr as Readable))
    const stdout = await Promise.race([git.raw(argumentsOf(command)), watch.given])
    return { exitCode: 0, stdout, stderr: '' }
  } catch (error) {
    if (watch.stopped.aborted) throw watch.stopped.reason
    if (failure === undefined) throw refusedByGuard(error)
    return failure
  } finally {
    watch.close()
  }
}

function inputOf({ credentials, input }: GitCommand): string {
  return credentials === undefined ? (input ?? '') : credentialAnswers(credentials)
}

function argumentsOf({ args, settings = [], credentials }: GitCommand): string[] {
  return [
    ...ALWAYS,
    ...settings.flatMap((setting) => ['-c', setting]),
    ...(credentials === undefined ? [] : credentialOptions(credentials)),
    ...args,
  ]
}

function text(chunks: readonly Buffer[]): string {
  return Buffer.concat(chunks).toString()
}

/** The launcher's, with the number of the process. */
function withoutFirstLine(stderr: string): string {
  return stderr.slice(stderr.indexOf('\n') + 1)
}

/** What simple-git will not pass on, before anything is started. */
function refusedByGuard(error: unknown): unknown {
  const guarded = error instanceof Error && 'plugin' in error && error.plugin === 'unsafe'
  return guarded ? new AppError('VALIDATION_FAILED', error.message, { cause: error }) : error
}
