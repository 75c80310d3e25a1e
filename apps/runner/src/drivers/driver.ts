import type {
  LaunchSandbox,
  NetworkRules,
  ResizeSandbox,
  RunnerAbilities,
  SandboxSpec,
  SandboxStatus,
  StartSandbox,
} from '@atoll/protocol'
import type { SandboxFileHolder } from './sandbox-file-holder.ts'
import type { SnapshotHolder } from './snapshot-holder.ts'
import type { VolumeHolder } from './volume-holder.ts'

/** What a driver found out about its host. */
export interface DriverInfo {
  /** The runtime picked, with its version: `crun 1.8.1`. */
  runtime: string
  /** What this host cannot do, in words; empty when everything works. */
  limitations: string[]
  abilities: RunnerAbilities
}

export type StatusListener = (status: SandboxStatus) => void

/**
 * How a runner makes sandboxes exist. A driver is opened by a function of its own, which finds out what works
 * on this host, finds sandboxes again that an earlier process made, adopts the running ones and removes what is
 * left of the others' processes; it throws, in one line, when no sandbox could ever start here. Every call is idempotent; calls for one sandbox run one after the
 * other, calls for different ones side by side. A malformed id throws BAD_REQUEST, and an unknown one
 * SANDBOX_NOT_FOUND except where said otherwise. After `dispose` begins every call throws
 * SERVICE_UNAVAILABLE. `driver-conformance.ts` holds what each driver must pass.
 */
export interface SandboxDriver extends AsyncDisposable {
  readonly name: string
  readonly info: DriverInfo
  readonly snapshots: SnapshotHolder
  readonly files: SandboxFileHolder
  readonly volumes: VolumeHolder
  /**
   * Makes the files of a sandbox and starts nothing. The same spec again: as it is. Throws CONFLICT for
   * another spec, SNAPSHOT_NOT_FOUND, SNAPSHOT_NOT_ACTIVE, VOLUME_NOT_FOUND, and BAD_REQUEST for a user the snapshot
   * does not have, a mount path that cannot be and a network block that is none.
   */
  create(sandboxId: string, spec: SandboxSpec): Promise<SandboxStatus>
  /**
   * Starts the toolbox as the sandbox's user and answers when its process runs, connected or not. Already
   * running: as it is, with the earlier token and environment. Throws SANDBOX_START_FAILED.
   */
  start(sandboxId: string, start: StartSandbox): Promise<SandboxStatus>
  /** `create` and then `start`, in less time than the two; throws what they throw. */
  launch(sandboxId: string, launch: LaunchSandbox): Promise<SandboxStatus>
  /** SIGTERM to the first process; after `graceMs` everything in the sandbox is killed. Files stay. */
  stop(sandboxId: string, graceMs: number): Promise<SandboxStatus>
  /**
   * Gives it other limits for now and all later starts. Throws SANDBOX_STATE_CONFLICT for what is only possible while
   * it is stopped, and BAD_REQUEST for a smaller disk.
   */
  resize(sandboxId: string, wanted: ResizeSandbox): Promise<SandboxStatus>
  /** Judges its packets by these rules from now on. Throws BAD_REQUEST for a network block that is none. */
  setNetworkRules(sandboxId: string, rules: NetworkRules): Promise<SandboxStatus>
  /** Kills what runs and removes the files. Unknown: nothing to do. */
  remove(sandboxId: string): Promise<void>
  get(sandboxId: string): Promise<SandboxStatus>
  list(): Promise<SandboxStatus[]>
  /**
   * Tells of each sandbox that stopped without a `stop` or `remove`, with the reason where known:
   * `exit 3`, `killed by SIGKILL`, `killed: out of memory`, `runner is shutting down`. Returns an unsubscriber.
   */
  onStatusChange(listener: StatusListener): () => void
  /** Stops every sandbox side by side, each within `graceMs` and then by force; refuses new starts. */
  stopAll(graceMs: number): Promise<void>
  /** Kills what still runs, and takes back what the driver put on the host: cgroups, mounts, devices. */
  [Symbol.asyncDispose](): Promise<void>
}
