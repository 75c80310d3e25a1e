import { readdir } from 'node:fs/promises'
import { isAlive } from '@atoll/service'
import { createConcurrencyLimit } from '../../concurrency.ts'
import { isThere } from '../../files.ts'
import type { KnownSandbox } from './known-sandbox.ts'
import { noteReason } from './known-sandbox.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { removeUnused } from './prepare-host.ts'
import { readRunRecord, readSandboxRecord, sandboxFolder, sweepSandboxFolders } from './sandbox-folder.ts'
import { endRun, holdMonitor } from './sandbox-run.ts'
import { endTrial, isTrial } from './try-host.ts'

/** Sandboxes that are recovered at the same time: after a crash with hundreds, one by one would take minutes. */
const MAX_CONCURRENT_RECOVERIES = 16

/**
 * Finds the sandboxes of the data folder. Adopts the sandboxes whose first process is alive; cleans up after the others,
 * after sandboxes that have no files any more, and after tries of the host that were cut short. A sandbox that cannot be
 * cleaned up keeps its run, which the driver then ends like that of any sandbox whose first process has ended.
 */
export async function recoverSandboxes(host: OciHost): Promise<Map<string, KnownSandbox>> {
  const known = new Map<string, KnownSandbox>()
  const limit = createConcurrencyLimit(MAX_CONCURRENT_RECOVERIES)
  const { folders, disks, log } = host
  const end = (draft: string) => endDraft(host, draft)
  const sandboxIds = await sweepSandboxFolders(folders.sandboxes, { disks, end, log })
  const recover = async (sandboxId: string) =>
    isTrial(sandboxId)
      ? await attempt(host, sandboxId, () => endTrial(host, sandboxId))
      : await recoverSandbox(host, sandboxId)
  const found = await Promise.all(sandboxIds.map((sandboxId) => limit(() => recover(sandboxId))))
  for (const sandbox of found) if (sandbox) known.set(sandbox.sandboxId, sandbox)
  await removeStrays(host, known)
  const running = [...known.values()].filter((sandbox) => sandbox.running)
  const runningIds = running.map((sandbox) => sandbox.sandboxId)
  await host.network?.reconcile(runningIds)
  await host.dialHomes.reconcile(runningIds)
  if (running.length === 0) await removeUnused(host)
  host.log.info({ sandboxes: known.size, running: running.length }, 'sandboxes found')
  return known
}

/** Returns whether the first process of a sandbox in this folder lives. */
export async function hasLiveSandbox(sandboxes: string): Promise<boolean> {
  for (const sandboxId of await readdir(sandboxes)) {
    const run = await readRunRecord(sandboxFolder(sandboxes, sandboxId))
    if (run && isAlive(run.init)) return true
  }
  return false
}

/** Ends the run in a draft folder: it may still run, or be held, and no record of it is left once its folder is gone. */
async function endDraft(host: OciHost, sandboxId: string): Promise<void> {
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  if (await isThere(folder.bundle)) await endRun(host, { sandboxId, folder }, await readRunRecord(folder))
}

async function recoverSandbox(host: OciHost, sandboxId: string): Promise<KnownSandbox | undefined> {
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  const record = await readSandboxRecord(folder)
  if (record === undefined) {
    host.log.error({ folder: folder.path }, 'a sandbox whose record cannot be read is left alone')
    return undefined
  }
  const running = await readRunRecord(folder)
  const sandbox: KnownSandbox = { sandboxId, folder, record, running, isHalted: false, isLookedAt: false }
  const isLive = running !== undefined && isAlive(running.init)
  await attempt(host, sandboxId, () => (isLive ? adopt(host, sandboxId, running) : cleanUp(host, sandbox)))
  return sandbox
}

async function adopt(host: OciHost, sandboxId: string, running: LaunchedSandbox): Promise<void> {
  holdMonitor(host, running)
  // A runner that was killed while it copied the sandbox's files left it frozen.
  await host.cgroups.thaw(sandboxId)
}

/** Removes what the run of a sandbox has left, and notes why it ended. */
async function cleanUp(host: OciHost, sandbox: KnownSandbox): Promise<void> {
  if (!(await isThere(sandbox.folder.bundle))) return
  const reason = await endRun(host, sandbox, sandbox.running)
  sandbox.running = undefined
  if (reason !== undefined) await noteReason(host.log, sandbox, reason)
}

/** Removes the runtime state and cgroups of sandboxes that are not running or do not exist. */
async function removeStrays(host: OciHost, known: ReadonlyMap<string, KnownSandbox>): Promise<void> {
  const left = new Set([...(await host.cgroups.list()), ...(await readdir(host.folders.state))])
  const limit = createConcurrencyLimit(MAX_CONCURRENT_RECOVERIES)
  const remove = async (sandboxId: string) => {
    host.log.warn({ sandboxId }, 'removing what is left of a sandbox')
    await attempt(host, sandboxId, async () => {
      await endRun(host, { sandboxId, folder: sandboxFolder(host.folders.sandboxes, sandboxId) })
    })
  }
  const strays = [...left].filter((sandboxId) => known.get(sandboxId)?.running === undefined)
  await Promise.all(strays.map((sandboxId) => limit(() => remove(sandboxId))))
}

/** Logs the failure of work for one sandbox, which must not keep the others from being recovered. */
async function attempt({ log }: OciHost, sandboxId: string, work: () => Promise<void>): Promise<undefined> {
  try {
    await work()
  } catch (error) {
    log.error({ err: error, sandboxId }, 'a sandbox cannot be recovered yet')
  }
}
