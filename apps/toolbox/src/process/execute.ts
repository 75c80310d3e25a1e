import type { ExecuteRequest, ToolboxOperations } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Headers } from '@atoll/tunnel'
import type { Handler } from '../call.ts'
import { sdkVersion } from '../channels/channel.ts'
import { isSince } from '../channels/sdk-version.ts'
import { commandLine } from './command-line.ts'
import type { RunToEndParts } from './run-to-end.ts'
import { createRunToEnd, MAX_TIMEOUT_SECONDS } from './run-to-end.ts'

/** The first SDK that reaches the toolbox by its own URL; its commands run until they end, or the caller goes away. */
const FIRST_WITHOUT_TIMEOUT = [0, 113, 0] as const

/**
 * Runs a command to its end. A timeout, or a caller that goes away, ends its whole process group. Throws
 * PROCESS_EXECUTION_TIMEOUT, RATE_LIMITED and VALIDATION_FAILED; returns exit code -1 for a command that cannot start.
 */
export function createExecute(parts: RunToEndParts): Handler<ToolboxOperations['executeCommand']> {
  const runToEnd = createRunToEnd(parts)
  return async ({ body, headers, signal }) => {
    check(body)
    const { cwd, envs } = body
    const timeout = body.timeout || ownDefault(headers)
    const { exitCode, output } = await runToEnd({ line: commandLine(body.command), cwd, envs, timeout, signal })
    return { exitCode, code: exitCode, result: output }
  }
}

function check({ command }: ExecuteRequest): void {
  if (command.trim() === '') throw new AppError('VALIDATION_FAILED', 'body: command must not be empty')
  if (command.includes('\0')) throw new AppError('VALIDATION_FAILED', 'body: command must not contain a NUL character')
}

/** Returns the longest timeout, in seconds, for SDKs that expect none; undefined, for the common one, for the others. */
function ownDefault(headers: Headers): number | undefined {
  return isSince(sdkVersion(headers), FIRST_WITHOUT_TIMEOUT) ? MAX_TIMEOUT_SECONDS : undefined
}
