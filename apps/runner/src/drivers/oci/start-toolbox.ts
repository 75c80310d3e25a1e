import type { StartSandbox } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { KnownSandbox } from './known-sandbox.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { sandboxEnvironment } from './sandbox-environment.ts'
import type { RunOptions } from './sandbox-run.ts'
import { endRun, startRun } from './sandbox-run.ts'
import type { SandboxUser } from './snapshot.ts'
import type { UsableSnapshot } from './snapshots/oci-snapshots.ts'
import { configureVolumes } from './volumes/mount-volumes.ts'
import type { OciVolumes } from './volumes/oci-volumes.ts'

/** What a sandbox is started from. */
export interface ToolboxOrigin extends UsableSnapshot {
  user: SandboxUser
  volumes: OciVolumes
}

/** Starts a sandbox with the toolbox as its first program. Throws SANDBOX_START_FAILED, with nothing of it left. */
export async function startToolbox(
  host: OciHost,
  sandbox: KnownSandbox,
  { origin, start }: { origin: ToolboxOrigin; start: StartSandbox },
): Promise<LaunchedSandbox> {
  const { sandboxId } = sandbox
  const { snapshot, user } = origin
  const options = optionsOf(sandbox, origin, start)
  const toolbox = { command: host.injected.toolboxCommand, output: '/dev/null' }
  try {
    return await startRun(host, { ...sandbox, snapshot, user }, { ...options, ...toolbox })
  } catch (error) {
    await endRun(host, sandbox)
    const message = error instanceof Error ? error.message : String(error)
    host.log.warn({ err: error, sandboxId }, 'a sandbox did not start')
    const reason = message.replaceAll(sandbox.folder.path, '…')
    throw new AppError('SANDBOX_START_FAILED', `sandbox ${sandboxId} did not start: ${reason}`, { cause: error })
  }
}

function optionsOf(
  { sandboxId, record: { spec } }: KnownSandbox,
  { image, user, volumes }: ToolboxOrigin,
  { toolboxToken, env, awaitsClaim = false }: StartSandbox,
): Pick<RunOptions, 'environment' | 'configure'> {
  const { entrypoint = [...image.entrypoint, ...image.cmd] } = spec
  const environment = sandboxEnvironment({ sandboxId, user, toolboxToken, env, image, entrypoint, awaitsClaim })
  const configure = configureVolumes(spec.volumes ?? [], volumes)
  return { environment, ...(configure === undefined ? {} : { configure }) }
}
