import type { OciMount } from './oci-spec.ts'

/** A snapshot that sandboxes are made from: read-only layers and the accounts that may run in them. */
export interface Snapshot {
  name: string
  /** Folders of the host, topmost first; read-only below the sandbox's own disk. */
  layers: string[]
  /** Mounts on top of the layers, read-only. */
  mounts: OciMount[]
  users: ReadonlyMap<string, SandboxUser>
}

export interface SandboxUser {
  name: string
  uid: number
  gid: number
  additionalGids: number[]
  /** Absolute, inside the sandbox. */
  home: string
}
