import { AppError } from '@atoll/protocol'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { RunnableSandbox, RunOptions } from './sandbox-run.ts'
import { endRun, startRun } from './sandbox-run.ts'

/** Starts a sandbox with the toolbox as its first program. Throws SANDBOX_START_FAILED, with nothing of it left. */
export async function startToolbox(
  host: OciHost,
  sandbox: RunnableSandbox,
  options: Pick<RunOptions, 'environment' | 'configure'>,
): Promise<LaunchedSandbox> {
  const { sandboxId } = sandbox
  try {
    return await startRun(host, sandbox, { ...options, command: host.injected.toolboxCommand, output: '/dev/null' })
  } catch (error) {
    await endRun(host, sandbox)
    const message = error instanceof Error ? error.message : String(error)
    host.log.warn({ err: error, sandboxId }, 'a sandbox did not start')
    const reason = message.replaceAll(sandbox.folder.path, '…')
    throw new AppError('SANDBOX_START_FAILED', `sandbox ${sandboxId} did not start: ${reason}`, { cause: error })
  }
}
