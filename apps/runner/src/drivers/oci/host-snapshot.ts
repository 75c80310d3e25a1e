import { lstat, readlink } from 'node:fs/promises'
import { join, sep } from 'node:path'
import { SANDBOX_TOOLS_DIR } from '@atoll/protocol'
import { isThere } from '../../files.ts'
import type { TreeEntry } from './file-tree.ts'
import { writeTree } from './file-tree.ts'
import { readHostEtc } from './host-etc.ts'
import type { OciMount } from './oci-spec.ts'
import { withTools } from './sandbox-environment.ts'
import type { SandboxUser, Snapshot } from './snapshot.ts'

export const HOST_SNAPSHOT = 'host'

/** The account that sandboxes run as by default. */
const DAYTONA: SandboxUser = { name: 'daytona', uid: 1000, gid: 1000, additionalGids: [], home: '/home/daytona' }
const ROOT: SandboxUser = { name: 'root', uid: 0, gid: 0, additionalGids: [], home: '/root' }

/** Links to /usr on a host with one tree of programs; folders of their own on an older host. */
const SYSTEM_FOLDERS = ['bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32']

export interface HostSnapshotOptions {
  /** Folder in which the tree is written. */
  folder: string
  /** Paths of the host that a sandbox never sees, even when they lie below /usr: the data folder among them. */
  hiddenPaths: readonly string[]
}

/**
 * Makes the snapshot that needs no image: this host's programs, read-only, with an /etc made for sandboxes, and nothing else
 * of the host. Root in a sandbox may write anywhere except below /usr.
 */
export async function prepareHostSnapshot(options: HostSnapshotOptions): Promise<Snapshot> {
  const system = await readSystemFolders()
  const shell = (await isThere('/bin/bash')) ? '/bin/bash' : '/bin/sh'
  const entries = [...skeleton(), ...system.entries, ...(await readHostEtc('/etc')), ...accounts(shell)]
  const layer = await writeTree(options.folder, HOST_SNAPSHOT, [...entries, ...(await homeFiles(entries))])
  const folders = ['/usr', ...system.folders]
  return {
    name: HOST_SNAPSHOT,
    layers: [layer],
    mounts: [...folders.map(readOnlyBind), ...options.hiddenPaths.filter(isBelow(folders)).map(emptyFolder)],
    users: new Map([DAYTONA, ROOT].map((user) => [user.name, user])),
  }
}

function skeleton(): TreeEntry[] {
  const folders = 'dev home media mnt opt proc run srv sys usr var var/cache var/lib var/log var/mail var/spool'
  return [
    ...folders.split(' ').map((path) => ({ kind: 'folder' as const, path, mode: 0o755 })),
    { kind: 'folder', path: 'root', mode: 0o700 },
    { kind: 'folder', path: 'tmp', mode: 0o1777 },
    { kind: 'folder', path: 'var/tmp', mode: 0o1777 },
    { kind: 'folder', path: 'home/daytona', mode: 0o755, owner: DAYTONA.uid },
    { kind: 'link', path: 'var/run', target: '/run' },
    { kind: 'link', path: 'var/lock', target: '/run/lock' },
    { kind: 'folder', path: 'run/lock', mode: 0o1777 },
  ]
}

function accounts(shell: string): TreeEntry[] {
  const passwd = [
    `root:x:0:0:root:/root:${shell}`,
    'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
    'bin:x:2:2:bin:/bin:/usr/sbin/nologin',
    'sys:x:3:3:sys:/dev:/usr/sbin/nologin',
    'nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin',
    `daytona:x:${DAYTONA.uid}:${DAYTONA.gid}:Daytona:${DAYTONA.home}:${shell}`,
  ]
  const groups = 'root:0 daemon:1 bin:2 sys:3 adm:4 tty:5 disk:6 mail:8 users:100 nogroup:65534 daytona:1000'
  const nsswitch = ['passwd: files', 'group: files', 'shadow: files', 'hosts: files dns', 'networks: files']
  const databases = ['protocols: files', 'services: files', 'ethers: files', 'rpc: files']
  return [
    textFile('etc/passwd', passwd),
    textFile(
      'etc/group',
      groups.split(' ').map((group) => `${group.replace(':', ':x:')}:`),
    ),
    textFile('etc/nsswitch.conf', [...nsswitch, ...databases]),
    textFile('etc/environment', []),
    // /etc/profile, which login shells read, sets a PATH without the injected programs.
    textFile('etc/profile.d/atoll-tools.sh', [
      `case :$PATH: in *:${SANDBOX_TOOLS_DIR}/*) ;; *) PATH=${withTools('$PATH')} ;; esac`,
    ]),
    { kind: 'link', path: 'etc/mtab', target: '/proc/self/mounts' },
  ]
}

/** Returns the shell start files of the host's /etc/skel, for the home folders of both accounts. */
async function homeFiles(entries: readonly TreeEntry[]): Promise<TreeEntry[]> {
  return entries.flatMap((entry) => {
    const name = /^etc\/skel\/(\.(?:bashrc|profile|bash_logout))$/.exec(entry.path)?.[1]
    if (name === undefined || entry.kind !== 'file') return []
    return [DAYTONA, ROOT].map((user) => ({ ...entry, path: join(user.home.slice(1), name), owner: user.uid }))
  })
}

async function readSystemFolders(): Promise<{ entries: TreeEntry[]; folders: string[] }> {
  const entries: TreeEntry[] = []
  const folders: string[] = []
  for (const name of SYSTEM_FOLDERS) {
    const found = await lstat(`/${name}`).catch(() => undefined)
    if (found?.isSymbolicLink()) entries.push({ kind: 'link', path: name, target: await readlink(`/${name}`) })
    if (found?.isDirectory()) {
      entries.push({ kind: 'folder', path: name, mode: 0o755 })
      folders.push(`/${name}`)
    }
  }
  return { entries, folders }
}

/** Binds a folder, not recursively: file systems that are mounted below it on the host do not show. */
function readOnlyBind(path: string): OciMount {
  return { destination: path, type: 'bind', source: path, options: ['bind', 'ro', 'nosuid', 'nodev'] }
}

function emptyFolder(path: string): OciMount {
  return {
    destination: path,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['ro', 'nosuid', 'nodev', 'size=4k', 'mode=755'],
  }
}

function isBelow(folders: readonly string[]): (path: string) => boolean {
  return (path) => folders.some((folder) => path.startsWith(folder + sep))
}

function textFile(path: string, lines: readonly string[]): TreeEntry {
  return { kind: 'file', path, mode: 0o644, content: lines.map((line) => `${line}\n`).join('') }
}
