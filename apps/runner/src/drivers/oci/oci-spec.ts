/** The parts of the OCI runtime specification's config.json that the driver writes. */
export interface OciSpec {
  ociVersion: string
  process: OciProcess
  root: { path: string; readonly: boolean }
  hostname: string
  mounts: OciMount[]
  linux: OciLinux
  annotations?: Record<string, string>
}

export interface OciProcess {
  terminal: boolean
  user: { uid: number; gid: number; additionalGids?: number[]; umask?: number }
  args: string[]
  env: string[]
  cwd: string
  capabilities: Record<'bounding' | 'effective' | 'permitted' | 'inheritable' | 'ambient', string[]>
  rlimits: { type: string; soft: number; hard: number }[]
  noNewPrivileges: boolean
}

export interface OciMount {
  destination: string
  type: string
  source: string
  options: string[]
}

export interface OciLinux {
  namespaces: { type: string; path?: string }[]
  uidMappings?: OciIdMapping[]
  gidMappings?: OciIdMapping[]
  cgroupsPath: string
  resources: {
    devices: { allow: boolean; access: string }[]
    memory: { limit: number; swap?: number }
    cpu: { quota: number; period: number }
    pids: { limit: number }
  }
  seccomp: OciLinuxSeccomp
  maskedPaths: string[]
  readonlyPaths: string[]
}

/** A range of account numbers in a user namespace, and their numbers outside of it. */
export interface OciIdMapping {
  containerID: number
  hostID: number
  size: number
}

/** System calls by name, and what happens on each. */
export interface OciLinuxSeccomp {
  defaultAction: SeccompAction
  defaultErrnoRet?: number
  architectures: string[]
  syscalls: OciSyscallRule[]
}

export type SeccompAction = 'SCMP_ACT_ALLOW' | 'SCMP_ACT_ERRNO' | 'SCMP_ACT_KILL_PROCESS'

export interface OciSyscallRule {
  names: string[]
  action: SeccompAction
  errnoRet?: number
  /** Conditions on arguments, all of which must hold. */
  args?: {
    index: number
    value: number
    valueTwo?: number
    op:
      | 'SCMP_CMP_NE'
      | 'SCMP_CMP_LT'
      | 'SCMP_CMP_LE'
      | 'SCMP_CMP_EQ'
      | 'SCMP_CMP_GE'
      | 'SCMP_CMP_GT'
      | 'SCMP_CMP_MASKED_EQ'
  }[]
}
