import type { SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { SandboxFolder, SandboxRecord } from './sandbox-folder.ts'
import { sandboxFolder, writeSandboxRecord } from './sandbox-folder.ts'
import type { EndReason } from './sandbox-run.ts'

/** The form of a sandbox id, which is also part of the names of a cgroup, a folder and a host. */
const SANDBOX_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

/** A sandbox of this runner. */
export interface KnownSandbox {
  readonly sandboxId: string
  readonly folder: SandboxFolder
  record: SandboxRecord
  /** The sandbox's run, from its start until all that the run made is removed. */
  running: LaunchedSandbox | undefined
  /** Its processes were ended by a call; the rest of its run is still being removed. */
  isHalted: boolean
  /** A check of its process waits in the queue. */
  isLookedAt: boolean
}

/** Returns a sandbox that is to be made. */
export function newSandbox({ folders, disk }: OciHost, sandboxId: string, spec: SandboxSpec): KnownSandbox {
  const folder = sandboxFolder(folders.sandboxes, sandboxId)
  return { sandboxId, folder, record: { spec, disk }, running: undefined, isHalted: false, isLookedAt: false }
}

/** Returns the status that the API is told. */
export function statusOf({ sandboxId, running, isHalted, record }: KnownSandbox): SandboxStatus {
  if (running && !isHalted) return { sandboxId, state: 'running' }
  return { sandboxId, state: 'stopped', ...(record.reason === undefined ? {} : { reason: record.reason }) }
}

/** Writes a record to disk; the sandbox keeps its former record where that fails. */
export async function keepRecord(sandbox: KnownSandbox, record: SandboxRecord): Promise<void> {
  await writeSandboxRecord(sandbox.folder, record)
  sandbox.record = record
}

/** Notes why a sandbox ended last. Throws when that cannot be written to disk; its status has the reason even then. */
export async function keepReason(sandbox: KnownSandbox, reason: EndReason): Promise<void> {
  if (sandbox.record.reason === reason) return
  const { reason: _, ...rest } = sandbox.record
  sandbox.record = reason === undefined ? rest : { ...rest, reason }
  await writeSandboxRecord(sandbox.folder, sandbox.record)
}

/** Notes why a sandbox ended. A disk that is too full to write that down keeps no sandbox from being stopped. */
export async function noteReason(log: Logger, sandbox: KnownSandbox, reason: EndReason): Promise<void> {
  try {
    await keepReason(sandbox, reason)
  } catch (error) {
    log.warn({ err: error, sandboxId: sandbox.sandboxId }, 'the reason of an end is not written down')
  }
}

/** Throws BAD_REQUEST for a malformed sandbox id. */
export function assertSandboxId(sandboxId: string): void {
  if (!SANDBOX_ID.test(sandboxId)) throw new AppError('BAD_REQUEST', 'a sandbox id is 1 to 63 letters, digits, - and _')
}
