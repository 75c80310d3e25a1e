import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ProcessFacts } from '@atoll/dev-env'
import { listProcesses } from '@atoll/dev-env'
import { auditFolders, hasFiles } from './audit-folders.ts'
import { auditDiskSizes, auditLimits } from './audit-limits.ts'
import { auditPool, linkedDisks } from './audit-pool.ts'
import { names, readText } from './host-paths.ts'
import type { SandboxRow, SystemRows } from './system-rows.ts'

/** What of a system is on the host, compared with its rows; the sandboxes in `running` have processes, no others. */
export interface HostAudit {
  /** Of one runner. */
  dataDir: string
  /** Of its sandboxes. */
  rows: SystemRows
  runnerPid: number | undefined
  /** Processes of the data folder that are no sandbox's, the runner's own among them. */
  knownPids: readonly (number | undefined)[]
}

const CGROUP_ROOT = '/sys/fs/cgroup'
/** Where a sandbox's disk lies. */
const OF_A_FOLDER = /\/sandboxes\/([0-9a-f-]{36})\/disk\.img/
/** One line for each thing without an owner and each row that the host does not bear out. */
export function auditHost(audit: HostAudit): string[] {
  const runner = join(audit.dataDir, 'runner')
  const instance = readFileSync(join(runner, 'instance-id'), 'utf8').trim()
  const isRunning = ({ state }: SandboxRow) => state === 'started'
  const running = new Set(idsOf(audit.rows, isRunning))
  const disks = { runnerPid: audit.runnerPid, sandboxes: join(runner, 'sandboxes') }
  return [
    ...auditProcesses(audit, instance, running),
    ...compare('control group', cgroupsOf(instance), running),
    ...compare('loop device', loopDevicesOf(runner, instance), running),
    ...compare('record of the OCI runtime', names(join(runner, 'state')), running),
    ...auditMounts(audit.dataDir),
    ...auditDevices(instance, running.size),
    ...auditFolders(runner, audit.rows),
    ...auditPool({ ...disks, instance }),
    ...auditLimits(instance, audit.rows.sandboxes.filter(isRunning)),
    ...auditDiskSizes(disks, audit.rows.sandboxes.filter(hasFiles)),
  ]
}

function auditProcesses({ dataDir, knownPids }: HostAudit, instance: string, running: ReadonlySet<string>): string[] {
  const processes = listProcesses()
  const known = new Set(knownPids)
  const sandboxOf = (one: ProcessFacts) =>
    new RegExp(`/atoll-${instance}/([^/\n]+)`).exec(one.cgroups)?.[1] ??
    /\/runner\/sandboxes\/([^/ ]+)/.exec(one.command)?.[1]
  const own = processes.filter(
    (one) =>
      !known.has(one.pid) &&
      one.pid !== process.pid &&
      (one.command.includes(`${dataDir}/`) || one.cgroups.includes(`/atoll-${instance}/`)),
  )
  const strays = own.filter((one) => {
    const sandbox = sandboxOf(one)
    return sandbox === undefined ? !isLockHolder(one, dataDir) : !running.has(sandbox)
  })
  const alive = new Set(own.filter(({ cgroups }) => cgroups.includes(`/atoll-${instance}/`)).map(sandboxOf))
  return [
    ...strays.map(({ pid, command }) => `process ${pid} has no owner: ${command.slice(0, 200)}`),
    ...[...running].filter((id) => !alive.has(id)).map((id) => `${id} is started and has no process`),
  ]
}

/** The kernel's lock on the runner's folder is held by a program that ends with the runner. */
function isLockHolder({ command }: ProcessFacts, dataDir: string): boolean {
  return command.startsWith('flock ') && command.includes(join(dataDir, 'runner/lock'))
}

/** `found` must be once for each of `wanted`, and for nothing else. */
function compare(what: string, found: readonly string[], wanted: ReadonlySet<string>): string[] {
  const seen = new Set(found)
  const twice = found.filter((id, index) => found.indexOf(id) !== index)
  return [
    ...[...seen].filter((id) => !wanted.has(id)).map((id) => `${what} of ${id}, which does not run`),
    ...[...wanted].filter((id) => !seen.has(id)).map((id) => `no ${what} of ${id}, which runs`),
    ...new Set(twice.map((id) => `more than one ${what} of ${id}`)),
  ]
}

function cgroupsOf(instance: string): string[] {
  const trees = [CGROUP_ROOT, ...names(CGROUP_ROOT).map((name) => join(CGROUP_ROOT, name))]
  const folders = (path: string) =>
    existsSync(path) ? readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory()) : []
  return [...new Set(trees.flatMap((tree) => folders(join(tree, `atoll-${instance}`)).map(({ name }) => name)))]
}

/**
 * Sandboxes whose disk is mounted anywhere, in whichever namespace: once nothing is left of the one that it was mounted
 * in, its path begins at the file system's own root. Where disks lie in a pool, a sandbox's folder has a
 * link to its own, whose name begins with that of the runner's instance.
 */
function loopDevicesOf(runner: string, instance: string): string[] {
  const sandboxes = `${join(runner, 'sandboxes')}/`
  const folders = names(sandboxes)
  const ofPool = linkedDisks(sandboxes)
  return names('/sys/block').flatMap((device) => {
    const backing = readText(`/sys/block/${device}/loop/backing_file`).trim()
    const [, id = ''] = OF_A_FOLDER.exec(backing) ?? []
    if (folders.includes(id) || backing.startsWith(sandboxes)) return [id]
    if (!basename(backing).startsWith(`${instance}-`)) return []
    return [ofPool.get(basename(backing)) ?? `nobody (${backing})`]
  })
}

/** Everything of a sandbox is mounted in namespaces of its own. */
function auditMounts(dataDir: string): string[] {
  const points = readText('/proc/self/mountinfo')
    .split('\n')
    .flatMap((line) => line.split(' ')[4] ?? [])
  return points.filter((point) => point.startsWith(`${dataDir}/`)).map((point) => `mount at ${point}`)
}

/**
 * Ports of the bridge have numbers and not the names of sandboxes: what counts is how many there are. A runner without a
 * network for sandboxes has no bridge.
 */
function auditDevices(instance: string, running: number): string[] {
  const mark = createHash('sha256').update(instance).digest('hex').slice(0, 7)
  const devices = names('/sys/class/net')
  const ports = devices.filter((name) => name.startsWith(`at${mark}p`))
  const wanted = devices.includes(`atoll${mark}`) ? running : 0
  const tables = (spawnSync('nft', ['list', 'tables'], { encoding: 'utf8' }).stdout ?? '').split('\n')
  const own = tables.filter((line) => line.includes(`atoll_${mark}`))
  return [
    ...(ports.length === wanted ? [] : [`${ports.length} network devices of ${wanted} sandboxes`]),
    ...(new Set(own).size === own.length ? [] : [`firewall tables: ${own.join(', ')}`]),
  ]
}

function idsOf({ sandboxes }: SystemRows, which: (row: SandboxRow) => boolean): string[] {
  return sandboxes.filter(which).map(({ id }) => id)
}
