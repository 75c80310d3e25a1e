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
  /** The arguments, without options that stand before the command, such as `-c`. */
  readonly args: readonly string[]
  /** More settings for this process alone: `name=value`. */
  readonly settings?: readonly string[]
  /** An existing folder, as a real path. */
  readonly cwd: string
  readonly signal: AbortSignal
  /** Written to git's stdin; not available with credentials. */
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly credentials?: GitCredentials | undefined
  /** Whether the command may take long, as long as data moves. */
  readonly talksToRemote?: boolean
  /** Whether the command sets configuration, and so may name any setting. */
  readonly setsConfig?: boolean
}

export interface GitResult {
  /** Negative when git could not be started, null when a signal ended it. */
  readonly exitCode: number | null
  readonly stdout: string
  /** Empty when the exit code is 0. */
  readonly stderr: string
}

/** Limits of a git process: its time and its output. */
export interface GitLimits {
  /** The time of a command that stays in the sandbox. */
  readonly localMs: number
  /** The time of a command that talks to a remote. */
  readonly remoteMs: number
  /** How long a command that talks to a remote may write nothing; git reports its progress every second. */
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
 * Runs git to its end, successful or not. When the caller goes away or a limit is reached, ends its whole process group
 * and throws REQUEST_TIMEOUT, GIT_TRANSPORT_FAILED, PAYLOAD_TOO_LARGE, or the caller's own reason.
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
      // A command without input reads an end of file.
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

/** Removes the launcher's line, with the number of the process. */
function withoutFirstLine(stderr: string): string {
  return stderr.slice(stderr.indexOf('\n') + 1)
}

/** Returns VALIDATION_FAILED for options that simple-git refuses before it starts anything. */
function refusedByGuard(error: unknown): unknown {
  const guarded = error instanceof Error && 'plugin' in error && error.plugin === 'unsafe'
  return guarded ? new AppError('VALIDATION_FAILED', error.message, { cause: error }) : error
}
