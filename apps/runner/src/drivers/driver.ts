import type {
  LaunchSandbox,
  NetworkRules,
  ResizeSandbox,
  RunnerAbilities,
  SandboxSpec,
  SandboxStatus,
  StartSandbox,
} from '@atoll/protocol'
import type { ArchiveHolder } from './archive-holder.ts'
import type { SnapshotHolder } from './snapshot-holder.ts'
import type { VolumeHolder } from './volume-holder.ts'

/** Facts that a driver found out about its host. */
export interface DriverInfo {
  /** The runtime picked, with its version: `crun 1.8.1`. */
  runtime: string
  /** Each thing this host cannot do, in words; empty when everything works. */
  limitations: string[]
  abilities: RunnerAbilities
}

export type StatusListener = (status: SandboxStatus) => void

/**
 * Makes sandboxes exist. A driver is opened by a function of its own, which finds out what works on this host, finds the
 * sandboxes that an earlier process made, adopts the running ones and removes the remains of the others' processes; it
 * throws, in one line, when no sandbox could ever start here. Every call is idempotent; calls for one sandbox run one after
 * the other, calls for different sandboxes side by side. A malformed id throws BAD_REQUEST, and an unknown id
 * SANDBOX_NOT_FOUND except where said otherwise. After `dispose` begins every call throws SERVICE_UNAVAILABLE.
 * `driver-conformance.ts` holds the tests that each driver must pass.
 */
export interface SandboxDriver extends AsyncDisposable {
  readonly name: string
  readonly info: DriverInfo
  readonly snapshots: SnapshotHolder
  readonly archives: ArchiveHolder
  readonly volumes: VolumeHolder
  /**
   * Makes the files of a sandbox and starts nothing. Called again with the same spec, changes nothing. Throws CONFLICT for
   * another spec, SNAPSHOT_NOT_FOUND, SNAPSHOT_NOT_ACTIVE, VOLUME_NOT_FOUND, and BAD_REQUEST for a user the snapshot
   * does not have, a mount path that is not allowed and a network block that is not an IPv4 block. Of a fork, throws
   * SERVICE_UNAVAILABLE while its parent's disk is still written back.
   */
  create(sandboxId: string, spec: SandboxSpec): Promise<SandboxStatus>
  /**
   * Starts the toolbox as the sandbox's user and returns when its process runs, connected or not. A sandbox that already
   * runs keeps its earlier token and environment. Throws SANDBOX_START_FAILED.
   */
  start(sandboxId: string, start: StartSandbox): Promise<SandboxStatus>
  /** Does `create` and then `start`, in less time than the two calls; throws what they throw. */
  launch(sandboxId: string, launch: LaunchSandbox): Promise<SandboxStatus>
  /** Sends SIGTERM to the first process; kills everything in the sandbox after `graceMs`. Files stay. */
  stop(sandboxId: string, graceMs: number): Promise<SandboxStatus>
  /**
   * Gives the sandbox other limits, at once and for all later starts. Throws SANDBOX_STATE_CONFLICT for a change that is only
   * possible while it is stopped, BAD_REQUEST for a smaller disk, and SERVICE_UNAVAILABLE while its disk is still written back.
   */
  resize(sandboxId: string, wanted: ResizeSandbox): Promise<SandboxStatus>
  /** Applies these rules to the sandbox's packets from now on. Throws BAD_REQUEST for a malformed network block. */
  setNetworkRules(sandboxId: string, rules: NetworkRules): Promise<SandboxStatus>
  /** Kills the sandbox's processes and removes its files. Does nothing for an unknown id. */
  remove(sandboxId: string): Promise<void>
  get(sandboxId: string): Promise<SandboxStatus>
  list(): Promise<SandboxStatus[]>
  /**
   * Calls `listener` for each sandbox that stopped without a `stop` or `remove`, with the reason where known:
   * `exit 3`, `killed by SIGKILL`, `killed: out of memory`, `runner is shutting down`. Returns an unsubscriber.
   */
  onStatusChange(listener: StatusListener): () => void
  /** Stops every sandbox side by side, each within `graceMs` and then by force; refuses new starts. */
  stopAll(graceMs: number): Promise<void>
  /** Kills the processes that still run, and removes from the host the driver's cgroups, mounts and devices. */
  [Symbol.asyncDispose](): Promise<void>
}
