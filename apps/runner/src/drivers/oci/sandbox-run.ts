import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { findProcess, isAlive, signalProcess, waitForEnd } from '@atoll/service'
import { allOver } from '../../concurrency.ts'
import { isThere } from '../../files.ts'
import { containerConfig, hostnameOf } from './container-config.ts'
import { writeEntries } from './file-tree.ts'
import type { LaunchedSandbox, SetupScript } from './launch-sandbox.ts'
import { launchSandbox } from './launch-sandbox.ts'
import type { OciHost } from './oci-host.ts'
import type { OciSpec } from './oci-spec.ts'
import { findImageDevice, findLoopDevice, repairDiskImage, waitForDetach } from './sandbox-disk.ts'
import type { DraftFolder, RunRecord, SandboxFolder, SandboxRecord } from './sandbox-folder.ts'
import { currentSpec } from './sandbox-folder.ts'
import type { SandboxUser, Snapshot } from './snapshot.ts'
import { describeWaitStatus } from './wait-status.ts'

/** How long a process may take to end after SIGKILL, and the runtime after the last process of its sandbox, in milliseconds. */
const END_DEADLINE_MS = 5_000

/** The facts of a sandbox that a start needs. */
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
  /** File of the host that gets the first process's output. */
  output: string
  /** Changes the configuration last. */
  configure?: Configure
  /** Folder of a new sandbox, which is still being made, and is kept before the first process runs. */
  draft?: DraftFolder | undefined
}

/** Changes a sandbox's configuration, and returns a script that has to run among its mounts before it starts. */
export type Configure = (config: OciSpec, folder: SandboxFolder) => { config: OciSpec; setup?: SetupScript }

/** Why a run ended: `exit 0`, `killed: out of memory`; undefined where that is not known any more. */
export type EndReason = string | undefined

/** Starts a stopped sandbox. Throws LaunchError; `endRun` must follow in that case too. */
export async function startRun(host: OciHost, sandbox: RunnableSandbox, options: RunOptions): Promise<LaunchedSandbox> {
  const { folder, record, sandboxId, snapshot } = sandbox
  const { network } = host
  const { networkRules: rules } = currentSpec(record)
  const connected = record.spec.network === 'nat' && network !== undefined
  const { draft } = options
  if (record.disk === 'image' && !draft) await repairDiskImage(await host.disks.reach(folder.image), host.run)
  const dialHomeDir = await host.dialHomes.open(sandboxId)
  using _ = host.cgroups.expectMoves()
  const { config, setup } = configurationOf(host, sandbox, { ...options, dialHomeDir, ownNetworkGiven: connected })
  const at = draft?.at ?? folder
  const connection = connected ? await network.attach(sandboxId) : undefined
  const restricted = connected ? network.restrict(sandboxId, rules) : Promise.resolve()
  // Processes of an earlier run, left when its runner was killed, must neither meet the new processes nor keep the disk.
  const filled = allOver(host.cgroups.remove(sandboxId), draft?.filled ?? Promise.resolve())
  const attachable = filled.then(() => host.disks.attachable(at.image))
  const resolvConf = connected ? network.resolvConf() : ''
  const written = filled.then(() => allOver(writeBundle(at, config), writeOwnLayer(at, sandboxId, resolvConf)))
  // Only the code that waits for these promises gets their failures.
  for (const part of [restricted, attachable, written]) part.catch(() => undefined)
  let launched: LaunchedSandbox
  try {
    launched = await launchSandbox({
      runtime: host.runtime,
      stateFolder: host.folders.state,
      sandboxId,
      folder,
      disk: record.disk,
      attachable,
      written: written.then(() => at.path),
      layers: [folder.ownLayer, ...snapshot.layers].map((layer) => relative(folder.path, layer)),
      output: options.output,
      setup,
      network: connection,
      settle: async () => void (await allOver(restricted, draft?.keep() ?? Promise.resolve())),
    })
  } catch (error) {
    await Promise.allSettled([restricted, attachable, written])
    await host.disks.detach(at.image)
    throw error
  }
  await writeFile(folder.runRecord, JSON.stringify(launched satisfies RunRecord), { mode: 0o600 })
  // The runtime keeps a copy of its own, below its state, until the end of the run.
  await rm(folder.config)
  holdMonitor(host, launched)
  return launched
}

/** Sends SIGSTOP to a runtime that would remove a sandbox's exit status at its end; its only work is to wait. */
export function holdMonitor({ runtime }: OciHost, { monitor }: LaunchedSandbox): void {
  if (runtime.ending === 'held') signalProcess(monitor, 'SIGSTOP')
}

/**
 * Ends the processes of a sandbox that still run and removes all that the run made, whether its processes are known, partly
 * gone or long gone. The sandbox's files stay.
 */
export async function endRun(
  host: OciHost,
  sandbox: Pick<RunnableSandbox, 'sandboxId' | 'folder'>,
  launched?: LaunchedSandbox,
): Promise<EndReason> {
  const { sandboxId, folder } = sandbox
  const loopDevice = launched && (await loopDeviceOf(launched, folder))
  const reason = launched && (await endProcesses(host, sandbox, launched))
  await host.cgroups.remove(sandboxId)
  await forgetContainer(host, sandboxId)
  if (loopDevice !== undefined && !(await waitForDetach(loopDevice, folder.image))) {
    host.log.warn({ sandboxId, loopDevice }, 'the disk of a stopped sandbox is still mounted')
  }
  await host.network?.release(sandboxId)
  await host.dialHomes.close(sandboxId)
  await rm(folder.bundle, { recursive: true, force: true })
  return reason
}

/** Returns the loop device of a run's disk; undefined where the disk is a folder. */
async function loopDeviceOf({ monitor }: LaunchedSandbox, folder: SandboxFolder): Promise<string | undefined> {
  // A look at one process's mounts is cheaper than one at all devices, of which there is one for each sandbox.
  return isAlive(monitor) ? await findLoopDevice(monitor.pid, folder.disk) : await findImageDevice(folder.image)
}

/** Ends the processes of a sandbox: SIGTERM first, SIGKILL after `graceMs`. Throws when they do not end. */
export async function haltRun(launched: LaunchedSandbox, graceMs: number): Promise<void> {
  if (graceMs > 0) {
    signalProcess(launched.init, 'SIGTERM')
    await waitForEnd(launched.init, graceMs)
  }
  await killFirstProcess(launched)
}

/** Kills the first process of a sandbox, with which all others end. */
async function killFirstProcess({ init }: LaunchedSandbox): Promise<void> {
  signalProcess(init, 'SIGKILL')
  if (!(await waitForEnd(init, END_DEADLINE_MS))) throw new Error(`process ${init.pid} of a sandbox does not end`)
}

/**
 * For a runner that has no more time: kills the first processes and their monitors, with which the mounts end. A few empty
 * folders are left to the next start.
 */
export function killSandboxes(sandboxes: Iterable<{ running: LaunchedSandbox | undefined }>): void {
  for (const { running } of sandboxes) {
    for (const process of running ? [running.init, running.monitor] : []) signalProcess(process, 'SIGKILL')
  }
}

async function endProcesses(
  host: OciHost,
  { sandboxId, folder }: Pick<RunnableSandbox, 'sandboxId' | 'folder'>,
  launched: LaunchedSandbox,
): Promise<EndReason> {
  const { init, monitor } = launched
  await killFirstProcess(launched)
  const heldStatus = findProcess(init)?.waitStatus
  const outOfMemory = (await host.cgroups.outOfMemoryKills(sandboxId)) > 0
  signalProcess(monitor, 'SIGCONT')
  if (!(await waitForEnd(monitor, END_DEADLINE_MS))) signalProcess(monitor, 'SIGKILL')
  const waitStatus = (await readExitCode(folder.exitCode)) ?? heldStatus
  if (waitStatus === undefined) return undefined
  const ended = describeWaitStatus(waitStatus)
  return outOfMemory && ended === 'killed by SIGKILL' ? 'killed: out of memory' : ended
}

/** Returns the exit code as a wait status; undefined where the monitor writes none, or was killed before it could. */
async function readExitCode(path: string): Promise<number | undefined> {
  const text = await readFile(path, 'latin1').catch(() => '')
  return /^\d+\n$/.test(text) ? Number(text) << 8 : undefined
}

/** Removes the record of the sandbox that a killed runtime has left in its state. */
async function forgetContainer(host: OciHost, sandboxId: string): Promise<void> {
  const state = join(host.folders.state, sandboxId)
  if (!(await isThere(state))) return
  await host.run([host.runtime.path, '--root', host.folders.state, 'delete', '--force', sandboxId], { accept: [0, 1] })
  await rm(state, { recursive: true, force: true })
}

/** Writes the files that differ from sandbox to sandbox, as a layer below its disk: its own changes to them are kept. */
async function writeOwnLayer(at: SandboxFolder, sandboxId: string, resolvConf: string): Promise<void> {
  const hostname = hostnameOf(sandboxId)
  const hosts = `127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t${hostname}\n`
  const contents = { hostname: `${hostname}\n`, hosts, 'resolv.conf': resolvConf }
  await writeEntries(
    at.ownLayer,
    Object.entries(contents).map(([name, content]) => ({
      kind: 'file',
      path: join('etc', name),
      mode: 0o644,
      content,
    })),
  )
}

async function writeBundle(at: SandboxFolder, config: OciSpec): Promise<void> {
  await rm(at.bundle, { recursive: true, force: true })
  for (const path of [at.bundle, at.rootfs, at.disk]) await mkdir(path, { mode: 0o700 })
  await writeFile(at.config, JSON.stringify(config), { mode: 0o600 })
}

function configurationOf(
  host: OciHost,
  sandbox: RunnableSandbox,
  options: RunOptions & { dialHomeDir: string; ownNetworkGiven: boolean },
): ReturnType<Configure> {
  const { folder, record, sandboxId, snapshot, user } = sandbox
  const config = containerConfig({
    sandboxId,
    spec: currentSpec(record),
    user,
    command: options.command,
    environment: options.environment,
    snapshotMounts: snapshot.mounts,
    runtimeFolder: host.injected.folder,
    toolsFolder: host.toolsFolder,
    dialHomeDir: options.dialHomeDir,
    cgroupsPath: host.cgroups.path(sandboxId),
    limitsSwap: host.cgroups.limitsSwap,
    openFilesLimit: host.openFilesLimit,
    seccomp: host.seccomp,
    seccompFilter: host.seccompFilter,
    ownNetworkGiven: options.ownNetworkGiven,
  })
  return options.configure?.(config, folder) ?? { config }
}
