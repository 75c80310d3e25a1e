import type { StartSandbox } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { KnownSandbox } from './known-sandbox.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { sandboxEnvironment } from './sandbox-environment.ts'
import type { DraftFolder } from './sandbox-folder.ts'
import type { RunOptions } from './sandbox-run.ts'
import { endRun, startRun } from './sandbox-run.ts'
import type { SandboxUser } from './snapshot.ts'
import type { UsableSnapshot } from './snapshots/oci-snapshots.ts'
import { configureVolumes } from './volumes/mount-volumes.ts'
import type { OciVolumes } from './volumes/oci-volumes.ts'

/** The snapshot, user and volumes that a sandbox is started with. */
export interface ToolboxOrigin extends UsableSnapshot {
  user: SandboxUser
  volumes: OciVolumes
}

export interface ToolboxStart {
  origin: ToolboxOrigin
  start: StartSandbox
  /** Folder of a new sandbox, which is kept whether the sandbox starts or not. */
  draft?: DraftFolder
}

/**
 * Starts a sandbox with the toolbox as its first program. Throws SANDBOX_START_FAILED, with nothing of the start left, and
 * the errors of making its folder.
 */
export async function startToolbox(
  host: OciHost,
  sandbox: KnownSandbox,
  { origin, start, draft }: ToolboxStart,
): Promise<LaunchedSandbox> {
  const { sandboxId } = sandbox
  const { snapshot, user } = origin
  const options = optionsOf(sandbox, origin, start)
  const toolbox = { command: host.injected.toolboxCommand, output: '/dev/null', draft }
  try {
    await origin.volumes.repair((sandbox.record.spec.volumes ?? []).map(({ volumeId }) => volumeId))
    return await startRun(host, { ...sandbox, snapshot, user }, { ...options, ...toolbox })
  } catch (error) {
    await leaveStopped(host, sandbox, draft)
    const message = error instanceof Error ? error.message : String(error)
    host.log.warn({ err: error, sandboxId }, 'a sandbox did not start')
    const reason = message.replaceAll(sandbox.folder.path, '…')
    throw new AppError('SANDBOX_START_FAILED', `sandbox ${sandboxId} did not start: ${reason}`, { cause: error })
  }
}

/** Keeps the files of a sandbox that did not start, and removes the rest. Throws when its files could not be made. */
async function leaveStopped(host: OciHost, sandbox: KnownSandbox, draft: DraftFolder | undefined): Promise<void> {
  try {
    await draft?.keep()
  } finally {
    await endRun(host, sandbox)
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
