import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { isThere } from '../../files.ts'
import { containerConfig, hostnameOf } from './container-config.ts'
import { writeEntries } from './file-tree.ts'
import { describeWaitStatus, findProcess, readBootId, signalProcess, waitForEnd } from './host-process.ts'
import type { LaunchedSandbox } from './launch-sandbox.ts'
import { launchSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import { findLoopDevice, repairDiskImage, waitForDetach } from './sandbox-disk.ts'
import type { RunRecord, SandboxFolder, SandboxRecord } from './sandbox-folder.ts'
import type { SandboxUser, Snapshot } from './snapshot.ts'

/** How long a process may take to end after SIGKILL, and the runtime after the last of its sandbox, in milliseconds. */
const END_DEADLINE_MS = 5_000

/** A sandbox as a start sees it. */
export interface RunnableSandbox {
  sandboxId: string
  folder: SandboxFolder
  record: SandboxRecord
  snapshot: Snapshot
  user: SandboxUser
}

export interface RunOptions {
  command: readonly string[]
  environment: Readonly<Record<string, string>>
  /** Where the first process's output goes, on the host. */
  output: string
}

/** Why a run ended: `exit 0`, `killed: out of memory`; undefined where nobody can tell any more. */
export type EndReason = string | undefined

/** Starts a stopped sandbox. Throws LaunchError; `endRun` must follow in that case too. */
export async function startRun(host: OciHost, sandbox: RunnableSandbox, options: RunOptions): Promise<LaunchedSandbox> {
  const { folder, record, sandboxId, snapshot } = sandbox
  const { network } = host
  const connected = record.spec.network === 'nat' && network !== undefined
  if (record.disk === 'image') await repairDiskImage(folder.image, host.run)
  await writeOwnLayer(sandbox, connected ? network.resolvConf() : '')
  await writeBundle(host, sandbox, { ...options, ownNetworkGiven: connected })
  const launched = await launchSandbox({
    runtime: host.runtime,
    stateFolder: host.folders.state,
    sandboxId,
    folder,
    disk: record.disk,
    layers: [folder.ownLayer, ...snapshot.layers].map((layer) => relative(folder.path, layer)),
    output: options.output,
    ...(connected ? { attachNetwork: (pid: number) => network.attach({ sandboxId, pid }) } : {}),
  })
  const runRecord: RunRecord = { bootId: await readBootId(), ...launched }
  await writeFile(folder.runRecord, JSON.stringify(runRecord), { mode: 0o600 })
  // The runtime has its own copy, below its state, until the end of the run.
  await rm(folder.config)
  await holdMonitor(host, launched)
  return launched
}

/** Stops a runtime that would remove a sandbox's traces at its end; it has nothing to do but wait. */
export async function holdMonitor({ runtime }: OciHost, { monitor }: LaunchedSandbox): Promise<void> {
  if (runtime.ending === 'held') await signalProcess(monitor, 'SIGSTOP')
}

/**
 * Ends what still runs of a sandbox and takes back all a run made, whether `launched` is known, half there or
 * long gone. Files of the sandbox stay.
 */
export async function endRun(
  host: OciHost,
  sandbox: Pick<RunnableSandbox, 'sandboxId' | 'folder'>,
  launched?: LaunchedSandbox,
): Promise<EndReason> {
  const { sandboxId, folder } = sandbox
  const loopDevice = launched && (await findLoopDevice(launched.monitor.pid, folder.disk))
  const reason = launched && (await endProcesses(host, sandbox, launched))
  await host.cgroups.remove(sandboxId)
  await forgetContainer(host, sandboxId)
  if (loopDevice !== undefined && !(await waitForDetach(loopDevice, folder.image))) {
    host.log.warn({ sandboxId, loopDevice }, 'the disk of a stopped sandbox is still mounted')
  }
  await host.network?.release(sandboxId)
  await rm(folder.bundle, { recursive: true, force: true })
  return reason
}

async function endProcesses(
  host: OciHost,
  { sandboxId, folder }: Pick<RunnableSandbox, 'sandboxId' | 'folder'>,
  { init, monitor }: LaunchedSandbox,
): Promise<EndReason> {
  await signalProcess(init, 'SIGKILL')
  if (!(await waitForEnd(init, END_DEADLINE_MS))) throw new Error(`process ${init.pid} of a sandbox does not end`)
  const heldStatus = (await findProcess(init))?.waitStatus
  const outOfMemory = (await host.cgroups.outOfMemoryKills(sandboxId)) > 0
  await signalProcess(monitor, 'SIGCONT')
  if (!(await waitForEnd(monitor, END_DEADLINE_MS))) await signalProcess(monitor, 'SIGKILL')
  const waitStatus = (await readExitCode(folder.exitCode)) ?? heldStatus
  if (waitStatus === undefined) return undefined
  const ended = describeWaitStatus(waitStatus)
  return outOfMemory && ended === 'killed by SIGKILL' ? 'killed: out of memory' : ended
}

/** As a wait status; undefined where the monitor writes none, or was killed before it could. */
async function readExitCode(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'latin1').catch(() => '')
  return /^\d+\n$/.test(text) ? Number(text) << 8 : undefined
}

/** A runtime that was killed has not removed its record of the sandbox. */
async function forgetContainer(host: OciHost, sandboxId: string): Promise<void> {
  const state = join(host.folders.state, sandboxId)
  if (!(await isThere(state))) return
  await host.run([host.runtime.path, '--root', host.folders.state, 'delete', '--force', sandboxId], { accept: [0, 1] })
  await rm(state, { recursive: true, force: true })
}

/** Files that differ from sandbox to sandbox lie below its own disk: it may change them, and then keeps its own. */
async function writeOwnLayer({ folder, sandboxId }: RunnableSandbox, resolvConf: string): Promise<void> {
  const hostname = hostnameOf(sandboxId)
  const hosts = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${hostname}\n`
  const contents = { hostname: `${hostname}\n`, hosts, 'resolv.conf': resolvConf }
  await writeEntries(
    folder.ownLayer,
    Object.entries(contents).map(([name, content]) => ({
      kind: 'file',
      path: join('etc', name),
      mode: 0o644,
      content,
    })),
  )
}

async function writeBundle(
  host: OciHost,
  sandbox: RunnableSandbox,
  options: RunOptions & { ownNetworkGiven: boolean },
): Promise<void> {
  const { folder, record, sandboxId, snapshot, user } = sandbox
  await rm(folder.bundle, { recursive: true, force: true })
  for (const path of [folder.bundle, folder.rootfs, folder.disk]) await mkdir(path, { mode: 0o700 })
  const config = containerConfig({
    sandboxId,
    spec: record.spec,
    user,
    command: options.command,
    environment: options.environment,
    snapshotMounts: snapshot.mounts,
    runtimeFolder: host.injected.folder,
    dialHomeDir: host.dialHomeDir,
    cgroupsPath: host.cgroups.path(sandboxId),
    limitsSwap: host.cgroups.limitsSwap,
    openFilesLimit: host.openFilesLimit,
    seccomp: host.seccomp,
    ownNetworkGiven: options.ownNetworkGiven,
  })
  await writeFile(folder.config, JSON.stringify(config), { mode: 0o600 })
}
