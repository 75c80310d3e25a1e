import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import { AppError } from '@atoll/protocol'
import { checkVariables } from '../command-environment.ts'
import type { WorkDirectory } from '../work-directory.ts'
import type { CommandLine } from './command-line.ts'
import type { OutputPipes } from './output-pipes.ts'
import { createOutputBudget, createOutputRecorder } from './output-recorder.ts'
import type { ProcessGroups } from './process-groups.ts'
import { runCommand, SPAWN_FAILURE } from './run-command.ts'

/** Commands of one kind that may run at the same time. */
export const MAX_COMMANDS = 256
const DEFAULT_TIMEOUT_SECONDS = 360
/** The longest delay of a timer: 24 days. */
export const MAX_TIMEOUT_SECONDS = 2_147_483

export interface RunToEndParts {
  work: WorkDirectory
  groups: ProcessGroups
  pipes: OutputPipes
  commandEnv: Readonly<Record<string, string>>
}

export interface RunToEndOptions {
  line: CommandLine
  /** The directory as the caller gave it; absent: the work directory. */
  cwd?: string | undefined
  /** Variables added to those that commands inherit; they replace variables of the same name. */
  envs?: Readonly<Record<string, string>> | undefined
  /** Seconds; 0 or absent: 360. */
  timeout?: number | undefined
  signal: AbortSignal
}

export interface RunResult {
  exitCode: number
  /** stdout and stderr, interleaved. */
  output: string
}

/**
 * Runs commands to their ends. A timeout, or a caller that goes away, ends the whole process group. Throws
 * PROCESS_EXECUTION_TIMEOUT, RATE_LIMITED and VALIDATION_FAILED; returns exit code -1 for a command that cannot start.
 */
export function createRunToEnd(parts: RunToEndParts): (options: RunToEndOptions) => Promise<RunResult> {
  const { work, groups, pipes, commandEnv } = parts
  const budget = createOutputBudget()
  let running = 0

  async function run({ line, cwd, envs, timeout, signal }: RunToEndOptions): Promise<RunResult> {
    const recorder = createOutputRecorder(budget)
    try {
      const folder = await findDirectory(work, cwd)
      const env = Object.fromEntries([...Object.entries(commandEnv), ...Object.entries(envs ?? {})])
      const command = await runCommand({ line, cwd: folder, env, pipe: await pipes.take(), recorder, groups })
      const end = () => groups.end(command.pid)
      const seconds = Math.min(timeout || DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
      const exitCode = await within(command.done, { seconds, signal, end })
      return { exitCode, output: recorder.text() }
    } catch (error) {
      if (error instanceof AppError) throw error
      const reason = error instanceof Error ? error.message : error
      return { exitCode: SPAWN_FAILURE, output: `cannot run the command: ${reason}\n` }
    } finally {
      recorder.release()
    }
  }

  return async (options) => {
    checkVariables('envs', options.envs)
    if (running >= MAX_COMMANDS) throw new AppError('RATE_LIMITED', `${MAX_COMMANDS} commands are running already`)
    running += 1
    try {
      return await run(options)
    } finally {
      running -= 1
    }
  }
}

/** Returns the directory to run in. Throws a plain Error if it is not usable: a command that cannot start fails no call. */
export async function findDirectory(work: WorkDirectory, cwd: string | undefined): Promise<string> {
  const path = cwdPath(work, cwd ?? '')
  const problem = (what: string) => new Error(`working directory ${path}: ${what}`)
  const stats = await stat(path).catch((error: unknown) => {
    throw problem(error instanceof Error && 'code' in error ? String(error.code) : 'not there')
  })
  if (!stats.isDirectory()) throw problem('not a directory')
  await access(path, constants.X_OK).catch(() => {
    throw problem('permission denied')
  })
  return path
}

function cwdPath(work: WorkDirectory, cwd: string): string {
  try {
    return work.resolve(cwd).toString()
  } catch (error) {
    throw new Error(`working directory: ${error instanceof Error ? error.message : error}`)
  }
}

/** Waits for the end of a command; at its timeout, or when the caller goes away, ends it and throws at once. */
async function within(
  done: Promise<number>,
  { seconds, signal, end }: { seconds: number; signal: AbortSignal; end: () => void },
): Promise<number> {
  let timer: NodeJS.Timeout | undefined
  let onAbort: (() => void) | undefined
  const stopped = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      end()
      reject(new AppError('PROCESS_EXECUTION_TIMEOUT', 'command execution timeout'))
    }, seconds * 1000)
    onAbort = () => {
      end()
      reject(signal.reason)
    }
    signal.addEventListener('abort', onAbort)
    if (signal.aborted) onAbort()
  })
  try {
    return await Promise.race([done, stopped])
  } finally {
    clearTimeout(timer)
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort)
  }
}
