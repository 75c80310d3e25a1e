// Programs that Debian provides. As root on Debian, set-up installs the missing ones; elsewhere it prints how to.
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CommandError, runCommand } from './run-command.mjs'

const APT_LOCK_DEADLINE_MS = 180_000
const APT_LOCK_RETRY_MS = 2_000
const APT_COMMAND_DEADLINE_MS = 15 * 60_000
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

/** The packages for running. `proof` is a command, or an absolute path, that exists once the package is installed. */
const TO_RUN = [
  { name: 'crun', proof: 'crun', why: 'starts sandboxes' },
  { name: 'tini', proof: '/usr/bin/tini-static', why: 'first process in a sandbox' },
  { name: 'nftables', proof: 'nft', why: 'firewall and NAT of sandboxes' },
  { name: 'iproute2', proof: 'ip', why: 'network devices of sandboxes' },
  { name: 'e2fsprogs', proof: 'mkfs.ext4', why: 'disk limits of sandboxes' },
  { name: 'xfsprogs', proof: 'mkfs.xfs', why: 'disks of sandboxes that are forked without copying' },
  { name: 'util-linux', proof: 'unshare', why: 'namespaces' },
  { name: 'mount', proof: 'losetup', why: 'mounts and loop devices of sandboxes' },
]
/** The packages for testing. A runner can use the first three, too: without them it reports what it lacks and cannot do. */
const TO_TEST = [
  { name: 'skopeo', proof: 'skopeo', why: 'snapshots of images' },
  { name: 'buildah', proof: 'buildah', why: 'snapshots of Dockerfiles' },
  { name: 'zstd', proof: 'zstd', why: 'snapshots of archives packed with zstd' },
  { name: 'docker-registry', proof: 'docker-registry', why: 'a registry that images are fetched from' },
  { name: 'busybox-static', proof: '/bin/busybox', why: 'a root file system of a single program' },
  { name: 'git', proof: 'git', why: 'import boundaries are read from a checkout' },
  { name: 'python3', proof: '/usr/bin/python3', why: 'the SDK runs Python code in a sandbox' },
  {
    name: 'python3-matplotlib',
    proof: '/usr/lib/python3/dist-packages/matplotlib/pyplot.py',
    why: 'charts that Python code draws in a sandbox',
  },
  { name: 'iptables', proof: 'iptables', why: 'a foreign firewall that sandboxes have to live with' },
  { name: 'chromium', proof: 'chromium', why: 'opens the API page' },
  { name: 'fonts-dejavu-core', proof: '/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf', why: 'text in that page' },
]

/**
 * Ensures the programs that running (`purpose: 'run'`) or testing (`'test'`) needs, and installs them if `allowed`.
 * Returns the packages that are still missing; prints one sentence about them.
 */
export async function ensureSystemPackages({ purpose, allowed, print }) {
  const wanted = purpose === 'test' ? [...TO_RUN, ...TO_TEST] : TO_RUN
  const missing = wanted.filter((one) => !isPresent(one.proof))
  if (missing.length === 0) return []
  const isRoot = process.getuid?.() === 0
  const isDebian = existsSync('/etc/debian_version') && isPresent('apt-get')
  if (allowed && isRoot && isDebian) {
    await installPackages(missing, print)
    return []
  }
  const names = missing.map((one) => one.name).join(' ')
  const how = isDebian
    ? `install as root with: apt-get install ${names}`
    : `install what your system calls Debian's packages ${names}`
  print(`Missing system packages: ${how}.`)
  return missing.map((one) => one.name)
}

async function installPackages(packages, print) {
  print('Installing system packages with apt-get:')
  const width = Math.max(...packages.map((one) => one.name.length))
  for (const one of packages) print(`  ${one.name.padEnd(width)}  ${one.why}`)
  const install = ['install', '--yes', '--no-install-recommends', ...packages.map((one) => one.name)]
  try {
    await aptGet(install, print)
  } catch (error) {
    // Missing or old package lists are the only reason for an unknown package or a missing file.
    if (!(error instanceof CommandError) || !/Unable to locate|no installation candidate|404/.test(error.output)) {
      throw error
    }
    await aptGet(['update'], print)
    await aptGet(install, print)
  }
}

/** Runs apt-get; waits while another apt-get holds the lock. */
async function aptGet(args, print) {
  const waitUntil = Date.now() + APT_LOCK_DEADLINE_MS
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive', LC_ALL: 'C' }
  for (let told = false; ; told = true) {
    try {
      return await runCommand(['apt-get', '--quiet', ...args], { env, deadlineMs: APT_COMMAND_DEADLINE_MS })
    } catch (error) {
      const lock = error instanceof CommandError && /Could not get lock ([^\n]*)/.exec(error.output)
      if (!lock || Date.now() > waitUntil) throw error
      if (!told) print(`Waiting up to ${APT_LOCK_DEADLINE_MS / 60_000} minutes for apt's lock ${lock[1]}`)
      await sleep(APT_LOCK_RETRY_MS)
    }
  }
}

function isPresent(proof) {
  if (proof.startsWith('/')) return existsSync(proof)
  const folders = [...(process.env.PATH ?? '').split(':').filter(Boolean), ...SYSTEM_FOLDERS]
  return folders.some((folder) => isExecutable(join(folder, proof)))
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    // The program is not in this folder, or not executable: the next folder may have it.
    return false
  }
}
