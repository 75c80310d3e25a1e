import { readdir, readFile, readlink } from 'node:fs/promises'
import { join } from 'node:path'
import { POOL_FILE } from '../oci/disks/disk-pool.ts'
import { networkNames } from '../oci/network/address-plan.ts'
import { openSandboxCgroups } from '../oci/sandbox-cgroups.ts'

/** Folders of the oci driver that have an entry for each sandbox. */
const SANDBOX_FOLDERS = ['sandboxes', 'state']

/** Returns the traces on the host of a data folder's sandboxes, one line each; `driverPid` is not counted. */
export async function findSandboxTraces(dataDir: string, driverPid: number): Promise<string[]> {
  const instanceId = await readFile(join(dataDir, 'instance-id'), 'utf8')
  const parts = [
    findProcesses(dataDir, { instanceId, driverPid }),
    findMounts(dataDir),
    findSandboxDevices(dataDir, instanceId),
    findCgroups(instanceId),
    findNetworkDevices(instanceId),
    findFolders(dataDir),
  ]
  return (await Promise.all(parts)).flat()
}

/** Returns the traces on the host that all sandboxes of the driver share. */
export async function findSharedTraces(dataDir: string): Promise<string[]> {
  const instanceId = await readFile(join(dataDir, 'instance-id'), 'utf8')
  const { bridge } = networkNames(instanceId)
  const devices = (await readdir('/sys/class/net')).filter((name) => name === bridge)
  const trees = await readdir('/sys/fs/cgroup')
  const parents = await Promise.all(['', ...trees].map((tree) => readdir(join('/sys/fs/cgroup', tree)).catch(() => [])))
  const cgroups = parents.flat().filter((name) => name === `atoll-${instanceId}`)
  const pools = await findLoopDevices((backing) => backing.startsWith(join(dataDir, POOL_FILE)))
  return [...devices.map((name) => `network device ${name}`), ...cgroups.map((name) => `cgroup ${name}`), ...pools]
}

async function findProcesses(dataDir: string, known: { instanceId: string; driverPid: number }): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (Number(pid) === known.driverPid || Number(pid) === process.pid) continue
    const [commandLine, cgroups, root] = await Promise.all([
      readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => ''),
      readFile(`/proc/${pid}/cgroup`, 'utf8').catch(() => ''),
      readlink(`/proc/${pid}/cwd`).catch(() => ''),
    ])
    if (`${commandLine} ${root}`.includes(dataDir) || cgroups.includes(`atoll-${known.instanceId}/`)) {
      found.push(`process ${pid} ${commandLine.replaceAll('\0', ' ')}`)
    }
  }
  return found
}

async function findMounts(dataDir: string): Promise<string[]> {
  const table = await readFile('/proc/self/mounts', 'utf8')
  return table.split('\n').flatMap((line) => (line.includes(dataDir) ? [`mount ${line}`] : []))
}

/** Returns the loop devices of disks. The kernel shortens the path of a disk in a pool once its runner ended; the name stays. */
async function findSandboxDevices(dataDir: string, instanceId: string): Promise<string[]> {
  const isPool = (backing: string) => backing.startsWith(join(dataDir, POOL_FILE))
  const isOfSandbox = (backing: string) => backing.startsWith(dataDir) || backing.includes(`/${instanceId}-`)
  const found = await findLoopDevices((backing) => isOfSandbox(backing) && !isPool(backing))
  return found.map((line) => line.replace(/ \S*(?=\/[0-9a-f]{8}-)/, ' …'))
}

async function findLoopDevices(isWanted: (backing: string) => boolean): Promise<string[]> {
  const found: string[] = []
  for (const device of (await readdir('/sys/block')).filter((name) => name.startsWith('loop'))) {
    const backing = await readFile(`/sys/block/${device}/loop/backing_file`, 'utf8').catch(() => '')
    if (isWanted(backing)) found.push(`loop device ${device} ${backing.trim()}`)
  }
  return found
}

async function findCgroups(instanceId: string): Promise<string[]> {
  const cgroups = await openSandboxCgroups(instanceId)
  return (await cgroups.list()).map((name) => `cgroup ${name}`)
}

async function findNetworkDevices(instanceId: string): Promise<string[]> {
  const { portPrefix } = networkNames(instanceId)
  const devices = await readdir('/sys/class/net')
  return devices.flatMap((name) => (name.startsWith(portPrefix) ? [`network device ${name}`] : []))
}

async function findFolders(dataDir: string): Promise<string[]> {
  const names = await Promise.all(SANDBOX_FOLDERS.map((folder) => readdir(join(dataDir, folder))))
  return names.flat().map((name) => `folder ${name}`)
}
