import type { Log } from './log.ts'
import { describeError } from './log.ts'
import { commandLine } from './process/command-line.ts'
import type { RunToEndParts } from './process/run-to-end.ts'
import { createRunToEnd } from './process/run-to-end.ts'

const COMMAND = 'true'
/** The number of runs: after the third, a command takes no less time. */
const TIMES = 3
const TIMEOUT_SECONDS = 30

/**
 * Runs a command that does nothing, before the sandbox is claimed: the first command after the claim then finds the pipes
 * made, the code compiled and the shell in memory.
 */
export function rehearse({ log, ...parts }: RunToEndParts & { log: Log }): void {
  const runToEnd = createRunToEnd(parts)
  const run = async () => {
    for (let time = 0; time < TIMES; time += 1) {
      await runToEnd({ line: commandLine(COMMAND), timeout: TIMEOUT_SECONDS, signal: new AbortController().signal })
    }
  }
  run().catch((error: unknown) => log.info('no rehearsal', { error: describeError(error) }))
}
