import { readdir } from 'node:fs/promises'
import { isAlive } from '@atoll/service'
import { createConcurrencyLimit } from '../../concurrency.ts'
import { isThere } from '../../files.ts'
import type { KnownSandbox } from './known-sandbox.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { removeUnused } from './prepare-host.ts'
import {
  readRunRecord,
  readSandboxRecord,
  sandboxFolder,
  sweepSandboxFolders,
  writeSandboxRecord,
} from './sandbox-folder.ts'
import { endRun, holdMonitor } from './sandbox-run.ts'
import { endTrial, isTrial } from './try-host.ts'

/** Sandboxes that are recovered at the same time: after a crash with hundreds, one by one would take minutes. */
const MAX_CONCURRENT_RECOVERIES = 16

/**
 * Finds the sandboxes of the data folder. Adopts the sandboxes whose first process is alive; cleans up after the others,
 * after sandboxes that have no files any more, and after tries of the host that were cut short.
 */
export async function recoverSandboxes(host: OciHost): Promise<Map<string, KnownSandbox>> {
  const known = new Map<string, KnownSandbox>()
  const limit = createConcurrencyLimit(MAX_CONCURRENT_RECOVERIES)
  const { folders, disks, log } = host
  const end = (draft: string) => endDraft(host, draft)
  const sandboxIds = await sweepSandboxFolders(folders.sandboxes, { disks, end, log })
  const recover = async (sandboxId: string) =>
    isTrial(sandboxId) ? await endTrial(host, sandboxId) : await recoverSandbox(host, sandboxId)
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

/** Ends the run in a draft folder: it may still run, or be held, and no record of it is left once its folder is gone. */
async function endDraft(host: OciHost, sandboxId: string): Promise<void> {
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  if (await isThere(folder.bundle)) await endRun(host, { sandboxId, folder }, await readRunRecord(folder))
}

async function recoverSandbox(host: OciHost, sandboxId: string): Promise<KnownSandbox | undefined> {
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  let record = await readSandboxRecord(folder)
  if (record === undefined) {
    host.log.error({ folder: folder.path }, 'a sandbox whose record cannot be read is left alone')
    return undefined
  }
  let running: LaunchedSandbox | undefined = await readRunRecord(folder)
  if (running === undefined || !isAlive(running.init)) {
    if (await isThere(folder.bundle)) {
      const reason = await endRun(host, { sandboxId, folder }, running)
      if (reason !== undefined) {
        record = { ...record, reason }
        await writeSandboxRecord(folder, record)
      }
    }
    running = undefined
  }
  if (running) {
    // A runner that was killed while it copied the sandbox's files left it frozen.
    await host.cgroups.thaw(sandboxId)
    holdMonitor(host, running)
  }
  return { sandboxId, folder, record, running, isHalted: false, isLookedAt: false }
}

/** Removes the runtime state and cgroups of sandboxes that are not running or do not exist. */
async function removeStrays(host: OciHost, known: ReadonlyMap<string, KnownSandbox>): Promise<void> {
  const left = new Set([...(await host.cgroups.list()), ...(await readdir(host.folders.state))])
  const limit = createConcurrencyLimit(MAX_CONCURRENT_RECOVERIES)
  const remove = async (sandboxId: string) => {
    host.log.warn({ sandboxId }, 'removing what is left of a sandbox')
    await endRun(host, { sandboxId, folder: sandboxFolder(host.folders.sandboxes, sandboxId) })
  }
  const strays = [...left].filter((sandboxId) => known.get(sandboxId)?.running === undefined)
  await Promise.all(strays.map((sandboxId) => limit(() => remove(sandboxId))))
}
