import { join } from 'node:path'
import { SANDBOX_DIAL_HOME_DIR, SANDBOX_RUNTIME_DIR } from '@atoll/protocol'
import type { OciLinux, OciMount, OciProcess } from '../oci-spec.ts'
import type { Configure } from '../sandbox-run.ts'
import { builderProfile } from '../seccomp/builder-profile.ts'
import { BUILD_DIR, BUILD_INPUT_DIR } from './build-program.ts'

/** Numbers of accounts that a build has, and the first of them outside: far above those of people and services. */
export const BUILDER_IDS = { first: 1_879_048_192, count: 65_536 } as const

/** What root of a build's own user namespace may do there: nothing of it holds outside. */
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
 * A folder of the host's, empty there, over which a build's mounts are put together, in its own mount namespace: root of a
 * user namespace cannot pass through the data folder, which is closed to everybody else.
 */
const STAGE = '/run/atoll-build'

const MOUNT_POINTS = [SANDBOX_RUNTIME_DIR, SANDBOX_DIAL_HOME_DIR, BUILD_INPUT_DIR, BUILD_DIR].join(' ')

/** Makes the build's folder on its own disk, and puts each folder of the list on the stage under its number. */
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

/** Turns a sandbox's configuration into that of a build: another root in a user namespace, and folders to work with. */
export function configureBuilder({ input, arch }: { input: string; arch: 'x64' | 'arm64' }): Configure {
  return (config, folder) => {
    const staged = ['run/rootfs']
    const stage = (source: string) => `${STAGE}/${staged.push(source) - 1}`
    const bind = (destination: string, source: string, ...options: string[]): OciMount => {
      return { destination, type: 'bind', source, options: ['bind', 'nosuid', 'nodev', ...options] }
    }
    const given = config.mounts
      // A build sees no devices of the host's and no control groups.
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
        // A filter made beforehand is that of sandboxes.
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
