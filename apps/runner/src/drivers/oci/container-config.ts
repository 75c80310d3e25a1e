import { availableParallelism } from 'node:os'
import type { SandboxSpec } from '@atoll/protocol'
import { SANDBOX_DIAL_HOME_DIR, SANDBOX_RUNTIME_DIR, SANDBOX_TOOLS_DIR } from '@atoll/protocol'
import { CPU_PERIOD_US, cpuQuota, memoryBytes } from './cgroup-limits.ts'
import type { OciLinuxSeccomp, OciMount, OciSpec } from './oci-spec.ts'
import type { SeccompFilter } from './seccomp/seccomp-filter.ts'
import { filterAnnotations } from './seccomp/seccomp-filter.ts'
import type { SandboxUser } from './snapshot.ts'

const GIB = 1024 ** 3
/** Most open files of a process, where the runner itself may have as many. */
const MAX_OPEN_FILES = 1_048_576

/** Capabilities of root in a sandbox: Docker's default set without CAP_MKNOD, which is useless where no device may be opened. */
const ROOT_CAPABILITIES = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
]

/** Files of /proc and /sys that give facts about the host or act on it. */
const MASKED_PATHS = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
  ...Array.from({ length: availableParallelism() }, (_, cpu) => `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`),
]
const READ_ONLY_PATHS = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger']

export interface ContainerOptions {
  sandboxId: string
  spec: SandboxSpec
  user: SandboxUser
  command: readonly string[]
  /** The complete environment; see sandbox-environment.ts. */
  environment: Readonly<Record<string, string>>
  snapshotMounts: readonly OciMount[]
  /** On the host. */
  runtimeFolder: string
  /** On the host. */
  toolsFolder: string
  dialHomeDir: string
  cgroupsPath: string
  limitsSwap: boolean
  /** Hard limit of open files of the runner; no sandbox can be given more. */
  openFilesLimit: number
  seccomp: OciLinuxSeccomp
  seccompFilter: SeccompFilter | undefined
  /** True when the process that calls the runtime is in the sandbox's network namespace already. */
  ownNetworkGiven: boolean
}

/** Returns the OCI runtime's configuration of one sandbox; the bundle's root is `rootfs`. */
export function containerConfig(options: ContainerOptions): OciSpec {
  const { spec, user } = options
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: user.uid, gid: user.gid, additionalGids: user.additionalGids, umask: 0o022 },
      args: [...options.command],
      env: Object.entries(options.environment).map(([name, value]) => `${name}=${value}`),
      cwd: user.home,
      capabilities: capabilities(user.uid === 0 ? ROOT_CAPABILITIES : []),
      rlimits: [
        // 1 and not 0: a limit of 1 also keeps the kernel from handing the core to a program of the host's.
        { type: 'RLIMIT_CORE', soft: 1, hard: 1 },
        openFiles(options.openFilesLimit),
      ],
      noNewPrivileges: true,
    },
    root: { path: 'rootfs', readonly: false },
    hostname: hostnameOf(options.sandboxId),
    mounts: [
      ...systemMounts(spec.limits.memoryGiB * GIB),
      ...options.snapshotMounts,
      readOnlyBind(options.runtimeFolder, SANDBOX_RUNTIME_DIR),
      readOnlyBind(options.toolsFolder, SANDBOX_TOOLS_DIR),
      readOnlyBind(options.dialHomeDir, SANDBOX_DIAL_HOME_DIR, 'noexec'),
    ],
    linux: {
      namespaces: [
        ...['pid', 'mount', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
        options.ownNetworkGiven ? { type: 'network', path: '/proc/self/ns/net' } : { type: 'network' },
      ],
      cgroupsPath: options.cgroupsPath,
      resources: resources(options),
      seccomp: options.seccomp,
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READ_ONLY_PATHS,
    },
    annotations: filterAnnotations(options.seccompFilter),
  }
}

/** Returns a host name for a sandbox: at most 63 characters and no underscore. */
export function hostnameOf(sandboxId: string): string {
  return sandboxId.replaceAll('_', '-').slice(0, 63).replace(/-+$/, '').toLowerCase()
}

function resources({ spec: { limits }, limitsSwap }: ContainerOptions): OciSpec['linux']['resources'] {
  const memory = memoryBytes(limits)
  return {
    devices: [{ allow: false, access: 'rwm' }],
    // `swap` counts memory and swap together: the same number means none.
    memory: { limit: memory, ...(limitsSwap ? { swap: memory } : {}) },
    cpu: { quota: cpuQuota(limits), period: CPU_PERIOD_US },
    pids: { limit: limits.pids },
  }
}

function capabilities(kept: string[]): OciSpec['process']['capabilities'] {
  return { bounding: kept, effective: kept, permitted: kept, inheritable: [], ambient: [] }
}

function openFiles(limit: number): OciSpec['process']['rlimits'][number] {
  const allowed = Math.min(limit, MAX_OPEN_FILES)
  return { type: 'RLIMIT_NOFILE', soft: allowed, hard: allowed }
}

function systemMounts(memoryBytes: number): OciMount[] {
  const closed = ['nosuid', 'noexec', 'nodev']
  const sharedMemory = `size=${Math.floor(memoryBytes / 2)}`
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: closed },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=64k'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', 'gid=5'],
    },
    { destination: '/dev/shm', type: 'tmpfs', source: 'shm', options: [...closed, 'mode=1777', sharedMemory] },
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: closed },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...closed, 'ro'] },
    { destination: '/sys/fs/cgroup', type: 'cgroup', source: 'cgroup', options: [...closed, 'relatime', 'ro'] },
  ]
}

function readOnlyBind(source: string, destination: string, ...more: string[]): OciMount {
  return { destination, type: 'bind', source, options: ['bind', 'ro', 'nosuid', 'nodev', ...more] }
}
