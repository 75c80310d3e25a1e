import type { SandboxSpec, SandboxStatus } from '@atoll/protocol'
import { AppError } from '@atoll/protocol'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { SandboxFolder, SandboxRecord } from './sandbox-folder.ts'
import { sandboxFolder, writeSandboxRecord } from './sandbox-folder.ts'
import type { EndReason } from './sandbox-run.ts'

/** Also part of a cgroup's, a folder's and a host's name. */
const SANDBOX_ID = /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/

/** A sandbox of this runner. */
export interface KnownSandbox {
  readonly sandboxId: string
  readonly folder: SandboxFolder
  record: SandboxRecord
  /** Its run, from its start until all that the run made is taken back. */
  running: LaunchedSandbox | undefined
  /** Its processes have ended, as was asked; what the run made is still being taken back. */
  isHalted: boolean
  /** A look at its process waits in the queue. */
  isLookedAt: boolean
}

/** One that is to be made. */
export function newSandbox({ folders, disk }: OciHost, sandboxId: string, spec: SandboxSpec): KnownSandbox {
  const folder = sandboxFolder(folders.sandboxes, sandboxId)
  return { sandboxId, folder, record: { spec, disk }, running: undefined, isHalted: false, isLookedAt: false }
}

/** What the API is told of it. */
export function statusOf({ sandboxId, running, isHalted, record }: KnownSandbox): SandboxStatus {
  if (running && !isHalted) return { sandboxId, state: 'running' }
  return { sandboxId, state: 'stopped', ...(record.reason === undefined ? {} : { reason: record.reason }) }
}

/** Writes a record down; the sandbox keeps its former one where that fails. */
export async function keepRecord(sandbox: KnownSandbox, record: SandboxRecord): Promise<void> {
  await writeSandboxRecord(sandbox.folder, record)
  sandbox.record = record
}

/** Notes why a sandbox ended last, of which its status tells even where this throws because it cannot be written down. */
export async function keepReason(sandbox: KnownSandbox, reason: EndReason): Promise<void> {
  if (sandbox.record.reason === reason) return
  const { reason: _, ...rest } = sandbox.record
  sandbox.record = reason === undefined ? rest : { ...rest, reason }
  await writeSandboxRecord(sandbox.folder, sandbox.record)
}

/** Throws BAD_REQUEST for what is no id of a sandbox. */
export function assertSandboxId(sandboxId: string): void {
  if (!SANDBOX_ID.test(sandboxId)) throw new AppError('BAD_REQUEST', 'a sandbox id is 1 to 63 letters, digits, - and _')
}
