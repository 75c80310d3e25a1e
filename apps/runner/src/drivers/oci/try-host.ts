import { randomUUID } from 'node:crypto'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { isThere } from '../../files.ts'
import type { RunCommand } from '../../run-command.ts'
import { HOST_SNAPSHOT } from './host-snapshot.ts'
import type { OciHost } from './oci-host.ts'
import { createDiskImage } from './sandbox-disk.ts'
import type { SandboxRecord } from './sandbox-folder.ts'
import { makeSandboxFolder, readRunRecord, removeSandboxFolder, sandboxFolder } from './sandbox-folder.ts'
import { endRun, startRun } from './sandbox-run.ts'
import type { SeccompFilter } from './seccomp/seccomp-filter.ts'
import { readSeccompFilter } from './seccomp/seccomp-filter.ts'

/** What the ids of the sandboxes begin with that the runner makes to try the host; no id of the API does. */
const TRIAL_PREFIX = 'try-'
/** The word that the container of a try prints, and how long it may take, in milliseconds. */
const WORD = 'atoll'
const WORD_DEADLINE_MS = 10_000
const WORD_POLL_MS = 5
const TRY_DISK_GIB = 1 / 32

/** Mounts an image in a mount namespace that ends at once; returns the error in words, or undefined when it worked. */
export async function tryDiskImage(folder: string, run: RunCommand): Promise<string | undefined> {
  try {
    await mkdir(join(folder, 'mount'), { recursive: true })
    await createDiskImage(join(folder, 'disk.img'), TRY_DISK_GIB, run)
    await run(['unshare', '--mount', 'mount', '-o', 'loop', join(folder, 'disk.img'), join(folder, 'mount')])
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/**
 * Runs a whole sandbox in which the injected Node prints a word, and returns the sandbox's system call filter where the
 * runtime keeps it. Throws with the reason when that does not work.
 */
export async function tryRuntime(host: OciHost): Promise<SeccompFilter | undefined> {
  const snapshot = host.snapshots.get(HOST_SNAPSHOT)
  const user = snapshot?.users.get('daytona')
  if (!(snapshot && user)) throw new Error('the host snapshot is not there')
  const sandboxId = `${TRIAL_PREFIX}${randomUUID()}`
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  const limits = { cpu: 1, memoryGiB: 0.25, diskGiB: TRY_DISK_GIB, pids: 64 }
  const record: SandboxRecord = {
    spec: { snapshot: HOST_SNAPSHOT, user: user.name, limits, network: 'none' },
    disk: host.disk,
  }
  const sandbox = { sandboxId, folder, record, snapshot, user }
  // The program runs until it is killed, so that its end cannot be mistaken for a failure to start.
  const program = `process.stdout.write('${WORD}'); setInterval(() => {}, 60_000)`
  await makeSandboxFolder(folder, { record, disks: host.disks, fill: (draft) => host.disks.create(draft, record) })
  try {
    const command = [...host.injected.nodeCommand, '-e', program]
    const launched = await startRun(host, sandbox, { command, environment: {}, output: folder.output })
    const printed = await waitForWord(folder.output)
    const filter = await readSeccompFilter(join(host.folders.state, sandboxId))
    await endRun(host, sandbox, launched)
    if (!printed) throw new Error(`its container printed nothing within ${WORD_DEADLINE_MS} ms`)
    return filter
  } finally {
    await endRun(host, sandbox)
    await removeSandboxFolder(folder, host.disks)
  }
}

/** Returns whether a sandbox was made to try the host. */
export function isTrial(sandboxId: string): boolean {
  return sandboxId.startsWith(TRIAL_PREFIX)
}

/** Ends and removes the sandbox of a try that was cut short by the end of its runner. */
export async function endTrial(host: OciHost, sandboxId: string): Promise<void> {
  const folder = sandboxFolder(host.folders.sandboxes, sandboxId)
  if (await isThere(folder.bundle)) await endRun(host, { sandboxId, folder }, await readRunRecord(folder))
  await removeSandboxFolder(folder, host.disks)
}

/** Returns the compiled filter when a sandbox that is given it runs and has the same filter; undefined otherwise. */
export async function trySeccompFilter(
  host: OciHost,
  filter: SeccompFilter | undefined,
): Promise<SeccompFilter | undefined> {
  if (filter === undefined) return undefined
  try {
    if ((await tryRuntime({ ...host, seccompFilter: filter })) === filter) return filter
    host.log.warn('the OCI runtime compiles the system call filter for each sandbox: it has another when given one')
  } catch (error) {
    host.log.warn({ err: error }, 'the OCI runtime compiles the system call filter for each sandbox')
  }
  return undefined
}

async function waitForWord(path: string): Promise<boolean> {
  const giveUpAt = performance.now() + WORD_DEADLINE_MS
  while (performance.now() < giveUpAt) {
    if ((await readFile(path, 'utf8').catch(() => '')) === WORD) return true
    await delay(WORD_POLL_MS)
  }
  return false
}
