import { constants } from 'node:fs'
import { access, stat } from 'node:fs/promises'
import type { ExecuteRequest, ExecuteResponse, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import type { WorkDirectory } from '../work-directory.ts'
import { commandLine } from './command-line.ts'
import type { OutputPipes } from './output-pipes.ts'
import { createOutputBudget, createOutputRecorder } from './output-recorder.ts'
import type { ProcessGroups } from './process-groups.ts'
import { runCommand, SPAWN_FAILURE } from './run-command.ts'

/** Commands that may run at the same time. */
export const MAX_COMMANDS = 256
const DEFAULT_TIMEOUT_SECONDS = 360
/** As far as a timer reaches: 24 days. */
const MAX_TIMEOUT_SECONDS = 2_147_483

export interface ExecuteOptions {
  work: WorkDirectory
  groups: ProcessGroups
  pipes: OutputPipes
  commandEnv: Readonly<Record<string, string>>
}

/**
 * Runs a command to its end. A timeout, or a caller that goes away, ends its whole process group. Throws
 * PROCESS_EXECUTION_TIMEOUT, RATE_LIMITED and VALIDATION_FAILED; a command that cannot start is an answer with -1.
 */
export function createExecute({
  work,
  groups,
  pipes,
  commandEnv,
}: ExecuteOptions): Handler<ToolboxOperations['executeCommand']> {
  const budget = createOutputBudget()
  let running = 0

  async function execute(request: ExecuteRequest, signal: AbortSignal): Promise<ExecuteResponse> {
    const recorder = createOutputRecorder(budget)
    try {
      const cwd = await directory(work, request.cwd)
      const env = Object.fromEntries([...Object.entries(commandEnv), ...Object.entries(request.envs ?? {})])
      const line = commandLine(request.command)
      const command = await runCommand({ line, cwd, env, pipe: await pipes.take(), recorder, groups })
      const end = () => groups.end(command.pid)
      const exitCode = await within(command.done, { seconds: timeoutSeconds(request), signal, end })
      return response(exitCode, recorder.text())
    } catch (error) {
      if (error instanceof AppError) throw error
      return response(SPAWN_FAILURE, `cannot run the command: ${error instanceof Error ? error.message : error}\n`)
    } finally {
      recorder.release()
    }
  }

  return async ({ body, signal }) => {
    check(body)
    if (running >= MAX_COMMANDS) throw new AppError('RATE_LIMITED', `${MAX_COMMANDS} commands are running already`)
    running += 1
    try {
      return await execute(body, signal)
    } finally {
      running -= 1
    }
  }
}

function response(exitCode: number, result: string): ExecuteResponse {
  return { exitCode, code: exitCode, result }
}

function check({ command, envs }: ExecuteRequest): void {
  if (command.trim() === '') throw new AppError('VALIDATION_FAILED', 'body: command must not be empty')
  if (command.includes('\0')) throw new AppError('VALIDATION_FAILED', 'body: command must not contain a NUL character')
  for (const [name, value] of Object.entries(envs ?? {})) {
    if (name === '' || /[=\0]/.test(name) || value.includes('\0')) {
      throw new AppError('VALIDATION_FAILED', `body: envs has a name or value no environment can hold`)
    }
  }
}

function timeoutSeconds({ timeout }: ExecuteRequest): number {
  return Math.min(timeout || DEFAULT_TIMEOUT_SECONDS, MAX_TIMEOUT_SECONDS)
}

/** The directory to run in. Throws a plain Error when it cannot be: a command that cannot start is no failed call. */
async function directory(work: WorkDirectory, cwd: string | undefined): Promise<string> {
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
