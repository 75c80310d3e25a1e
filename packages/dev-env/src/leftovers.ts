import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ProcessFacts } from './processes.ts'
import { listProcesses } from './processes.ts'

/** An object of an Atoll that is still on the host. */
export interface Leftover {
  kind: 'process' | 'mount' | 'loop device' | 'cgroup' | 'network device' | 'firewall table'
  /** The name to look for by hand. */
  name: string
}

const CGROUP_ROOT = '/sys/fs/cgroup'

/** Returns the objects that the Atoll of this data folder has on the host now; must be empty once it has stopped. */
export function findLeftovers(dataDir: string): Leftover[] {
  return [
    ...processesOf(dataDir, listProcesses()).map((one) => named('process')(`${one.pid} ${one.command}`)),
    ...mountsBelow(dataDir).map(named('mount')),
    ...loopDevicesBelow(dataDir).map(named('loop device')),
    ...hostObjectsOf(dataDir),
  ]
}

/** Returns the processes that were started for this data folder, outside and inside sandboxes. */
export function processesOf(dataDir: string, processes: readonly ProcessFacts[]): ProcessFacts[] {
  const cgroup = cgroupName(dataDir)
  return processes.filter(
    (one) =>
      one.pid !== process.pid &&
      (one.environment.split('\0').includes(`ATOLL_DATA_DIR=${dataDir}`) ||
        one.command.includes(`${dataDir}/`) ||
        (cgroup !== undefined && one.cgroups.includes(`/${cgroup}/`))),
  )
}

function mountsBelow(dataDir: string): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n')
  return lines.flatMap((line) => {
    const mountPoint = line.split(' ')[4]
    return mountPoint?.startsWith(`${dataDir}/`) ? [mountPoint] : []
  })
}

/**
 * Returns the loop devices of the data folder. Once the runner has ended, the path of a disk in its pool is unknown: such a
 * disk is found by its name, which begins with the runner's instance id.
 */
function loopDevicesBelow(dataDir: string): string[] {
  const instance = instanceId(dataDir)
  return readdirSync('/sys/block').flatMap((device) => {
    const file = `/sys/block/${device}/loop/backing_file`
    const backing = existsSync(file) ? readFileSync(file, 'utf8').trim() : ''
    const isOurs = backing.startsWith(`${dataDir}/`) || (instance !== undefined && backing.includes(`/${instance}-`))
    return isOurs ? [`${device} ${backing}`] : []
  })
}

/** Returns the objects that are named after the runner's instance instead of a path. */
function hostObjectsOf(dataDir: string): Leftover[] {
  const instance = instanceId(dataDir)
  if (instance === undefined) return []
  const mark = createHash('sha256').update(instance).digest('hex').slice(0, 7)
  const cgroup = `atoll-${instance}`
  const trees = [CGROUP_ROOT, ...readdirSync(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name))]
  const cgroups = trees.map((tree) => join(tree, cgroup)).filter((path) => existsSync(path))
  const devices = readdirSync('/sys/class/net').filter((name) => name.includes(mark))
  const tables = spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout ?? ''
  return [
    ...cgroups.map(named('cgroup')),
    ...devices.map(named('network device')),
    ...tables
      .split('\n')
      .filter((line) => line.includes(mark))
      .map(named('firewall table')),
  ]
}

function cgroupName(dataDir: string): string | undefined {
  const instance = instanceId(dataDir)
  return instance === undefined ? undefined : `atoll-${instance}`
}

/** Reads the instance id that the runner keeps in its folder; undefined before its first start. */
function instanceId(dataDir: string): string | undefined {
  const path = join(dataDir, 'runner/instance-id')
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined
}

function named(kind: Leftover['kind']): (name: string) => Leftover {
  return (name) => ({ kind, name })
}
