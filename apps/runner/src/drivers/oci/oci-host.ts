import type { Logger } from '@atoll/service'
import type { RunCommand } from '../../run-command.ts'
import type { InjectedRuntime } from './injected-runtime.ts'
import type { OciRuntime } from './launch-sandbox.ts'
import type { SandboxNetwork } from './network/sandbox-network.ts'
import type { OciLinuxSeccomp } from './oci-spec.ts'
import type { SandboxCgroups } from './sandbox-cgroups.ts'
import type { Snapshot } from './snapshot.ts'

/** What every sandbox of this runner is made with, found out once when the driver opens. */
export interface OciHost {
  folders: HostFolders
  runtime: OciRuntime
  injected: InjectedRuntime
  snapshots: ReadonlyMap<string, Snapshot>
  /** Where new sandboxes keep their files. */
  disk: 'image' | 'folder'
  cgroups: SandboxCgroups
  /** Undefined where sandboxes have loopback only. */
  network: SandboxNetwork | undefined
  seccomp: OciLinuxSeccomp
  /** On the host; appears as /run/atoll. */
  dialHomeDir: string
  openFilesLimit: number
  log: Logger
  run: RunCommand
}

/** The runner's part of the data folder. */
export interface HostFolders {
  /** Layers that sandboxes are made from. */
  snapshots: string
  /** Folders injected into sandboxes. */
  runtimes: string
  sandboxes: string
  /** The OCI runtime's own state. */
  state: string
}
