import type { Logger } from '@atoll/service'
import type { DialHomes } from '../../dial-homes.ts'
import type { RunCommand } from '../../run-command.ts'
import type { DiskStore } from './disks/disk-store.ts'
import type { InjectedRuntime } from './injected-runtime.ts'
import type { OciRuntime } from './launch-sandbox.ts'
import type { SandboxNetwork } from './network/sandbox-network.ts'
import type { OciLinuxSeccomp } from './oci-spec.ts'
import type { SandboxCgroups } from './sandbox-cgroups.ts'
import type { SeccompFilter } from './seccomp/seccomp-filter.ts'
import type { Snapshot } from './snapshot.ts'

/** The parts of the host that every sandbox of this runner is made with, found out once when the driver opens. */
export interface OciHost {
  folders: HostFolders
  runtime: OciRuntime
  injected: InjectedRuntime
  /** On the host; appears as /opt/atoll/tools. */
  toolsFolder: string
  /** The built-in snapshots: `host`. */
  snapshots: ReadonlyMap<string, Snapshot>
  /** Kind of disk that new sandboxes keep their files on. */
  disk: 'image' | 'folder'
  disks: DiskStore
  cgroups: SandboxCgroups
  /** Undefined where sandboxes have loopback only. */
  network: SandboxNetwork | undefined
  seccomp: OciLinuxSeccomp
  /** The profile as the runtime compiles it, where the runtime takes that instead. */
  seccompFilter: SeccompFilter | undefined
  /** The ways home of sandboxes, in folders that appear as /run/atoll. */
  dialHomes: DialHomes
  openFilesLimit: number
  log: Logger
  run: RunCommand
}

/** The runner's part of the data folder. */
export interface HostFolders {
  /** Trees of the built-in snapshots. */
  snapshots: string
  /** Layers of the snapshots that were made. */
  layers: string
  /** Records and logs of the snapshots that were made. */
  refs: string
  /** Sockets of trial sandboxes, which try a snapshot. */
  sockets: string
  /** Folders injected into sandboxes. */
  runtimes: string
  sandboxes: string
  volumes: string
  /** The OCI runtime's own state. */
  state: string
}
