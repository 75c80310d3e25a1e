import { randomBytes } from 'node:crypto'
import { mkdir, readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { NetworkRules, RunnerAbilities } from '@atoll/protocol'
import type { Logger } from '@atoll/service'
import type { DialHomes } from '../../dial-homes.ts'
import { writeFileWhole } from '../../files.ts'
import type { RunCommand } from '../../run-command.ts'
import type { OpenedDiskStore } from './disks/open-disk-store.ts'
import { openDiskStore } from './disks/open-disk-store.ts'
import { findAbilities } from './host-abilities.ts'
import { prepareHostSnapshot } from './host-snapshot.ts'
import { prepareInjectedRuntime } from './injected-runtime.ts'
import { prepareInjectedTools } from './injected-tools.ts'
import type { OciRuntime } from './launch-sandbox.ts'
import type { SandboxNetwork } from './network/sandbox-network.ts'
import { createSandboxNetwork } from './network/sandbox-network.ts'
import type { HostFolders, OciHost } from './oci-host.ts'
import { pickRuntime } from './pick-runtime.ts'
import { openSandboxCgroups } from './sandbox-cgroups.ts'
import { currentSpec, readSandboxRecord, sandboxFolder } from './sandbox-folder.ts'
import type { SeccompFilter } from './seccomp/seccomp-filter.ts'
import { seccompProfile } from './seccomp/seccomp-profile.ts'
import { tryDiskImage, tryRuntime, trySeccompFilter } from './try-host.ts'
import { liftWatchLimits } from './watch-limits.ts'

export interface OciDriverOptions {
  /** Absolute, links resolved; the driver keeps everything below it. No other process may use it at the same time. */
  dataDir: string
  /** Folder of the toolbox's bundle. */
  toolboxDir: string
  /** Folder of the built tools. */
  toolsDir: string
  /** The ways home of sandboxes. */
  dialHomes: DialHomes
  /** Paths of this host that no sandbox may see, beside the data folder. */
  hiddenPaths: readonly string[]
  /** Name or absolute path of the OCI runtime to use; absent: the best that works. */
  runtime?: string | undefined
  /** `none`: sandboxes have loopback only, whatever their spec says. */
  network: 'auto' | 'none'
  /** Folders of this host whose content may become a snapshot; absolute. */
  snapshotDirectories: readonly string[]
  log: Logger
  run: RunCommand
}

export interface PreparedHost {
  host: OciHost
  limitations: string[]
  abilities: RunnerAbilities
}

/**
 * Finds out what works on this host and makes the parts that all sandboxes share. Throws an Error, in one line, when no
 * sandbox could ever start here; then nothing is left on the host.
 */
export async function prepareHost(options: OciDriverOptions): Promise<PreparedHost> {
  const { dataDir, run } = options
  const folders = await makeFolders(dataDir)
  const instanceId = await readInstanceId(join(dataDir, 'instance-id'))
  const diskFailure = await tryDiskImage(join(dataDir, 'try'), run)
  const opened = await openDiskStore({ dataDir, instanceId, hasImages: diskFailure === undefined, run })
  try {
    return await prepareWithDisks(options, { ...opened, folders, instanceId, diskFailure })
  } catch (error) {
    await opened.disks[Symbol.asyncDispose]()
    throw error
  }
}

interface HostDisks extends OpenedDiskStore {
  folders: HostFolders
  instanceId: string
  /** Why this host cannot mount images; undefined where it can. */
  diskFailure: string | undefined
}

async function prepareWithDisks(options: OciDriverOptions, found: HostDisks): Promise<PreparedHost> {
  const { dataDir, log, run } = options
  const { folders, instanceId, diskFailure, disks, cloneFailure } = found
  const cgroups = await openSandboxCgroups(instanceId)
  const [injected, toolsFolder, snapshot] = await Promise.all([
    prepareInjectedRuntime({
      folder: folders.runtimes,
      nodePath: process.execPath,
      toolboxDir: options.toolboxDir,
      run,
    }),
    prepareInjectedTools({ folder: folders.runtimes, toolsDir: options.toolsDir, run }),
    prepareHostSnapshot({ folder: folders.snapshots, hiddenPaths: [dataDir, ...options.hiddenPaths] }),
  ])
  const shared = {
    folders,
    injected,
    toolsFolder,
    snapshots: new Map([[snapshot.name, snapshot]]),
    disk: diskFailure === undefined ? ('image' as const) : ('folder' as const),
    disks,
    cgroups,
    seccomp: seccompProfile(supportedArchitecture()),
    dialHomes: options.dialHomes,
    openFilesLimit: await readOpenFilesLimit(),
    log,
    run,
  }
  let compiled: SeccompFilter | undefined
  const bare = { ...shared, network: undefined, seccompFilter: undefined }
  const tryCandidate = async (runtime: OciRuntime) => {
    compiled = await tryRuntime({ ...bare, runtime })
  }
  const picking = pickRuntime({ wanted: options.runtime, layout: cgroups.layout, log, run, tryRuntime: tryCandidate })
  const runtime = await picking.catch(async (error) => {
    // Removes the cgroups that the tries left; sandboxes of an earlier process that still run keep theirs.
    await cgroups.removeParent().catch(() => undefined)
    throw error
  })
  const seccompFilter = await trySeccompFilter({ ...bare, runtime }, compiled)
  const network =
    options.network === 'auto'
      ? await createSandboxNetwork({ instanceId, rulesOf: await readNetworkRules(folders), log })
      : undefined
  const watchFailure = await liftWatchLimits(log)
  const limitations = [
    ...(diskFailure === undefined ? [] : [`disk quota: ${diskFailure}`]),
    ...(cloneFailure === undefined ? [] : [`forks: whole copies, for ${cloneFailure}`]),
    ...networkLimitations(network),
    ...(watchFailure === undefined ? [] : [`watch limit: ${watchFailure}`]),
    ...(cgroups.limitsSwap ? [] : ['memory limit: this kernel cannot keep sandboxes from swapping']),
  ]
  const abilities = await findAbilities({ ...options, network, disk: shared.disk, diskFailure })
  return { host: { ...shared, runtime, network, seccompFilter }, limitations, abilities }
}

function networkLimitations(network: SandboxNetwork | undefined): string[] {
  if (network === undefined) return ['network: switched off by ATOLL_SANDBOX_NETWORK=none']
  return network.limitation === undefined ? [] : [`network: ${network.limitation}`]
}

function supportedArchitecture(): 'x64' | 'arm64' {
  if (process.arch === 'x64' || process.arch === 'arm64') return process.arch
  throw new Error(`sandboxes run on x64 and arm64, and this is ${process.arch}`)
}

/** Removes layers and injected folders of earlier versions; only to be called while no sandbox runs that may use them. */
export async function removeUnused({ folders, injected, toolsFolder, snapshots }: OciHost): Promise<void> {
  const used = new Set([
    injected.folder,
    toolsFolder,
    ...[...snapshots.values()].flatMap((snapshot) => snapshot.layers),
  ])
  for (const folder of [folders.runtimes, folders.snapshots]) {
    for (const name of await readdir(folder)) {
      if (!used.has(join(folder, name))) await rm(join(folder, name), { recursive: true, force: true })
    }
  }
}

async function makeFolders(dataDir: string): Promise<HostFolders> {
  const below = (name: string) => join(dataDir, name)
  const folders = {
    snapshots: below('snapshots'),
    layers: below('layers'),
    refs: below('refs'),
    sockets: below('s'),
    runtimes: below('runtimes'),
    sandboxes: below('sandboxes'),
    volumes: below('volumes'),
    state: below('state'),
  }
  for (const folder of Object.values(folders)) await mkdir(folder, { recursive: true, mode: 0o700 })
  return folders
}

/** Returns the network rules of the sandboxes of an earlier run; a sandbox whose record cannot be read reaches nothing. */
async function readNetworkRules(folders: HostFolders): Promise<(sandboxId: string) => NetworkRules | undefined> {
  const rules = new Map<string, NetworkRules | undefined>()
  for (const sandboxId of await readdir(folders.sandboxes)) {
    const record = await readSandboxRecord(sandboxFolder(folders.sandboxes, sandboxId))
    if (record) rules.set(sandboxId, currentSpec(record).networkRules)
  }
  return (sandboxId) => (rules.has(sandboxId) ? rules.get(sandboxId) : { blockAll: true })
}

/** Returns the id in the names of this runner's cgroups and devices, so that several runners can share a host. */
async function readInstanceId(path: string): Promise<string> {
  const known = await readFile(path, 'utf8').catch(() => '')
  if (/^[0-9a-f]{8}$/.test(known)) return known
  const instanceId = randomBytes(4).toString('hex')
  await writeFileWhole(path, instanceId)
  return instanceId
}

async function readOpenFilesLimit(): Promise<number> {
  const text = await readFile('/proc/self/limits', 'latin1')
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(text)?.[1]
  return hard === 'unlimited' ? Number.MAX_SAFE_INTEGER : Number(hard)
}
