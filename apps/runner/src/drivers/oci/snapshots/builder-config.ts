import { join } from 'node:path'
import { SANDBOX_DIAL_HOME_DIR, SANDBOX_RUNTIME_DIR } from '@atoll/protocol'
import type { OciLinux, OciMount, OciProcess } from '../oci-spec.ts'
import type { Configure } from '../sandbox-run.ts'
import { builderProfile } from '../seccomp/builder-profile.ts'
import { BUILD_DIR, BUILD_INPUT_DIR } from './build-program.ts'

/** Number of account ids of a build, and the first of them on the host: far above those of people and services. */
export const BUILDER_IDS = { first: 1_879_048_192, count: 65_536 } as const

/** Capabilities of root in a build's own user namespace: none of them holds outside. */
const BUILDER_CAPABILITIES = [
  ...['CAP_CHOWN', 'CAP_DAC_OVERRIDE', 'CAP_DAC_READ_SEARCH', 'CAP_FOWNER', 'CAP_FSETID', 'CAP_KILL', 'CAP_MKNOD'],
  ...[
    'CAP_NET_BIND_SERVICE',
    'CAP_SETFCAP',
    'CAP_SETGID',
    'CAP_SETPCAP',
    'CAP_SETUID',
    'CAP_SYS_ADMIN',
    'CAP_SYS_CHROOT',
  ],
]

/**
 * An empty folder of the host, below which a build's mounts are put together in its own mount namespace: root of a user
 * namespace cannot pass through the data folder, which only the host's root may enter.
 */
const STAGE = '/run/atoll-build'

const MOUNT_POINTS = [SANDBOX_RUNTIME_DIR, SANDBOX_DIAL_HOME_DIR, BUILD_INPUT_DIR, BUILD_DIR].join(' ')

/** Makes the build's folder on its own disk, and mounts each folder of the list below the stage under its number. */
const SETUP = `
IFS='
'
set -f
set -- $SETUP_ARGUMENTS
owner=$1
shift
mkdir -p run/disk/build
chown "$owner" run/disk/build
# What belongs to root outside, no root inside can make.
for path in ${MOUNT_POINTS}; do mkdir -p "run/rootfs$path"; done
mkdir -p -m 755 ${STAGE}
mount -t tmpfs -o size=64k,mode=755,nosuid,nodev,noexec tmpfs ${STAGE}
number=0
for source in "$@"; do
  mkdir ${STAGE}/$number
  mount --bind "$source" ${STAGE}/$number
  number=$((number + 1))
done
`

/** Returns the change of a sandbox's configuration into a build's: root of a user namespace, and folders to work with. */
export function configureBuilder({ input, arch }: { input: string; arch: 'x64' | 'arm64' }): Configure {
  return (config, folder) => {
    const staged = ['run/rootfs']
    const stage = (source: string) => `${STAGE}/${staged.push(source) - 1}`
    const bind = (destination: string, source: string, ...options: string[]): OciMount => {
      return { destination, type: 'bind', source, options: ['bind', 'nosuid', 'nodev', ...options] }
    }
    const given = config.mounts
      // A build sees no devices and no control groups of the host.
      .filter(({ type }) => type !== 'sysfs' && type !== 'cgroup')
      .map((mount) => (mount.type === 'bind' ? { ...mount, source: stage(mount.source) } : mount))
    const mounts = [
      ...given,
      { destination: '/sys', type: 'tmpfs', source: 'tmpfs', options: ['ro', 'nosuid', 'nodev', 'noexec', 'size=4k'] },
      bind(BUILD_INPUT_DIR, stage(input), 'ro', 'noexec'),
      bind(BUILD_DIR, stage(join(folder.disk, 'build'))),
    ]
    const owner = `${BUILDER_IDS.first}:${BUILDER_IDS.first}`
    const { root, process, linux } = config
    return {
      config: {
        ...config,
        root: { ...root, path: `${STAGE}/0` },
        process: asRoot(process),
        mounts,
        linux: ownUsers(linux, arch),
        // The compiled filter in the annotations is the one of sandboxes.
        annotations: {},
      },
      setup: { script: SETUP, arguments: [owner, ...staged] },
    }
  }
}

function asRoot(process: OciProcess): OciProcess {
  const kept = BUILDER_CAPABILITIES
  const capabilities = { bounding: kept, effective: kept, permitted: kept, inheritable: [], ambient: [] }
  return { ...process, cwd: '/', capabilities }
}

function ownUsers(linux: OciLinux, arch: 'x64' | 'arm64'): OciLinux {
  const ids = [{ containerID: 0, hostID: BUILDER_IDS.first, size: BUILDER_IDS.count }]
  return {
    ...linux,
    namespaces: [...linux.namespaces, { type: 'user' }],
    uidMappings: ids,
    gidMappings: ids,
    seccomp: builderProfile(arch),
  }
}
