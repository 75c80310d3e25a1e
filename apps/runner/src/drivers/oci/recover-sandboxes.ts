import { readdir } from 'node:fs/promises'
import { isThere } from '../../files.ts'
import { isAlive, readBootId } from './host-process.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { removeUnused } from './prepare-host.ts'
import type { SandboxFolder, SandboxRecord } from './sandbox-folder.ts'
import {
  readRunRecord,
  readSandboxRecord,
  sandboxFolder,
  sweepSandboxFolders,
  writeSandboxRecord,
} from './sandbox-folder.ts'
import { endRun, holdMonitor } from './sandbox-run.ts'

/** A sandbox of this runner. */
export interface KnownSandbox {
  readonly sandboxId: string
  readonly folder: SandboxFolder
  record: SandboxRecord
  running: LaunchedSandbox | undefined
  /** A look at its process waits in the queue. */
  isLookedAt: boolean
}

/**
 * Finds the sandboxes of the data folder. Those whose first process is alive are adopted; after the others,
 * and after sandboxes that have no files any more, it cleans up.
 */
export async function recoverSandboxes(host: OciHost): Promise<Map<string, KnownSandbox>> {
  const known = new Map<string, KnownSandbox>()
  const bootId = await readBootId()
  for (const sandboxId of await sweepSandboxFolders(host.folders.sandboxes)) {
    const sandbox = await recoverSandbox(host, sandboxId, bootId)
    if (sandbox) known.set(sandboxId, sandbox)
  }
  await removeStrays(host, known)
  const running = [...known.values()].filter((sandbox) => sandbox.running)
  await host.network?.reconcile(running.map((sandbox) => sandbox.sandboxId))
  if (running.length === 0) await removeUnused(host)
  host.log.info({ sandboxes: known.size, running: running.length }, 'sandboxes found')
  return known
}

async function recoverSandbox(host: OciHost, sandboxId: string, bootId: string): Promise<KnownSandbox | undefined> {
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  let record = await readSandboxRecord(folder)
  if (record === undefined) {
    host.log.error({ folder: folder.path }, 'a sandbox whose record cannot be read is left alone')
    return undefined
  }
  const run = await readRunRecord(folder)
  let running = run?.bootId === bootId ? { init: run.init, monitor: run.monitor } : undefined
  if (running === undefined || !(await isAlive(running.init))) {
    if (await isThere(folder.bundle)) {
      const reason = await endRun(host, { sandboxId, folder }, running)
      if (reason !== undefined) {
        record = { ...record, reason }
        await writeSandboxRecord(folder, record)
      }
    }
    running = undefined
  }
  if (running) await holdMonitor(host, running)
  return { sandboxId, folder, record, running, isLookedAt: false }
}

/** What the OCI runtime and the kernel still know of sandboxes that are not running or not there. */
async function removeStrays(host: OciHost, known: ReadonlyMap<string, KnownSandbox>): Promise<void> {
  const left = new Set([...(await host.cgroups.list()), ...(await readdir(host.folders.state))])
  for (const sandboxId of left) {
    if (known.get(sandboxId)?.running) continue
    host.log.warn({ sandboxId }, 'removing what is left of a sandbox')
    await endRun(host, { sandboxId, folder: sandboxFolder(host.folders.sandboxes, sandboxId) })
  }
}
