import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { OciLinuxSeccomp } from '../../oci-spec.ts'

const execute = promisify(execFile)
/** Time for a container to run and end. */
const DEADLINE_MS = 120_000
/**
 * Capabilities that pass the kernel's own checks of the refused calls, so that a test sees the filter's answer; none of
 * them acts on the host when the filter is wrong.
 */
const CAPABILITIES = ['CAP_SYS_ADMIN', 'CAP_DAC_READ_SEARCH', 'CAP_NET_RAW', 'CAP_SYS_CHROOT']
const HYBRID = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'

/** Runs a program as root over the host's /usr in a container with namespaces and this filter; returns its stdout. */
export async function runContainer(
  runtime: string,
  { argv, seccomp }: { argv: readonly string[]; seccomp?: OciLinuxSeccomp },
): Promise<string> {
  const bundle = await mkdtemp(join(tmpdir(), 'atoll-seccomp-'))
  const id = `seccomp-${randomUUID()}`
  try {
    const rootfs = join(bundle, 'rootfs')
    await mkdir(rootfs)
    for (const link of ['bin', 'sbin', 'lib', 'lib64']) await copyLink(`/${link}`, join(rootfs, link))
    await writeFile(join(bundle, 'config.json'), JSON.stringify(config(argv, seccomp)))
    const call = [runtime, '--root', join(bundle, 'state'), 'run', '--bundle', bundle, id]
    // crun does not start where cgroup 1 and 2 are mixed, unless version 2 is hidden from it.
    const { stdout } = await execute(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', HYBRID, 'sh', ...call],
      { timeout: DEADLINE_MS },
    )
    return stdout
  } finally {
    await rm(bundle, { recursive: true })
  }
}

function config(argv: readonly string[], seccomp: OciLinuxSeccomp | undefined): object {
  const node = dirname(process.execPath)
  const folders = node.startsWith('/usr/') ? ['/usr'] : ['/usr', node]
  return {
    ociVersion: '1.0.2',
    root: { path: 'rootfs' },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      cwd: '/tmp',
      args: argv,
      env: [`PATH=${node}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin`, 'HOME=/tmp', 'LC_ALL=C'],
      noNewPrivileges: true,
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['size=16m'] },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['size=64k'] },
      ...folders.map((folder) => ({ destination: folder, type: 'bind', source: folder, options: ['rbind', 'ro'] })),
    ],
    linux: {
      namespaces: ['pid', 'mount', 'ipc', 'uts', 'network'].map((type) => ({ type })),
      ...(seccomp ? { seccomp } : {}),
    },
  }
}

async function copyLink(from: string, to: string): Promise<void> {
  const target = await readlink(from).catch(() => undefined)
  if (target !== undefined) await symlink(target, to)
}
