import type { ToolboxOperations } from '@atoll/protocol'
import type { Handler } from '../call.ts'
import { SPAWN_FAILURE } from '../process/run-command.ts'
import type { RunResult, RunToEndParts } from '../process/run-to-end.ts'
import { createRunToEnd, MAX_TIMEOUT_SECONDS } from '../process/run-to-end.ts'
import { splitCharts } from './chart-lines.ts'
import { codeLine, howToInstall } from './code-line.ts'

/** The shell's exit code for a missing program. */
const NOT_FOUND_STATUS = 127
const PROGRAM_MISSING = /^(?:cannot run the command: spawn (?:python3|ts-node) ENOENT|sh: .*\bnode: not found)\s*$/

/**
 * Runs code in a new process of its language. Throws the errors of running a command, and PAYLOAD_TOO_LARGE; returns exit
 * code 127 for a language whose program is missing.
 */
export function createRunCode(parts: RunToEndParts): Handler<ToolboxOperations['runCode']> {
  const runToEnd = createRunToEnd(parts)
  return async ({ body, signal }) => {
    const { envs, timeout } = body
    // The clients that know this call expect no timeout but their own.
    const seconds = timeout || MAX_TIMEOUT_SECONDS
    const result = await runToEnd({ line: codeLine(body), envs, timeout: seconds, signal })
    if (isProgramMissing(result)) return { exitCode: NOT_FOUND_STATUS, result: `${howToInstall(body.language)}\n` }
    const { text, charts } = splitCharts(result.output)
    return { exitCode: result.exitCode, result: text, ...(charts.length > 0 ? { artifacts: { charts } } : {}) }
  }
}

function isProgramMissing({ exitCode, output }: RunResult): boolean {
  return (exitCode === SPAWN_FAILURE || exitCode === NOT_FOUND_STATUS) && PROGRAM_MISSING.test(output)
}
